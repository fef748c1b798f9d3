import { resolveEndpoint } from '#lib/endpoint.ts'
import { newId } from '#lib/ids.ts'
import { headerValues } from '#lib/secrets/echo.ts'
import { JsonInputError, parseJson } from '#lib/json/index.ts'
import type { FieldError } from '#lib/api/problem.ts'
import type { DeliveryTarget } from '#modules/webhook-delivery/index.ts'
import type { CapabilityContext } from './context.ts'
import type { CapabilityManifest } from './schemas.ts'

/** The result of asking a plugin for its capabilities. */
export type Fetched =
  | { kind: 'manifest'; manifest: CapabilityManifest; etag: string | null }
  | { kind: 'unchanged' }
  /** It answered, but not with a manifest. */
  | { kind: 'invalid'; errors: readonly FieldError[] }
  | { kind: 'failed'; reason: string; detail: string }

const CAPABILITIES_PATH = '/api/capabilities'
export const MANIFEST_MAX_BYTES = 256 * 1024
const FETCH_TIMEOUT_MS = 5_000
const ETAG = /^(?:W\/)?"[\x21\x23-\x7e]{0,200}"$/

/** A signed GET, as a plugin knows them from its deliveries; the body that is signed is empty. */
export async function fetchManifest(
  ctx: CapabilityContext,
  target: DeliveryTarget,
  knownEtag: string | null,
): Promise<Fetched> {
  const url = resolveEndpoint(target.baseUrl, CAPABILITIES_PATH)
  if (url === null) return { kind: 'failed', reason: 'blocked', detail: 'The base_url cannot be called.' }
  const headers = ctx.deliveries.signedHeaders(target, { id: newId(), body: '' })
  delete headers['content-type']
  const response = await ctx.egress.request({
    method: 'GET',
    url,
    headers: {
      ...headers,
      accept: 'application/json',
      ...(knownEtag !== null && { 'if-none-match': knownEtag }),
    },
    timeoutMs: FETCH_TIMEOUT_MS,
    maxResponseBytes: MANIFEST_MAX_BYTES,
    secrets: headerValues(target.headers),
    party: target.tenantId,
    clientCertificate: target.clientCertificate ?? undefined,
  })
  if (response.status === 304 && knownEtag !== null) return { kind: 'unchanged' }
  if (response.truncated) {
    const detail = `The answer is larger than ${MANIFEST_MAX_BYTES / 1024} KiB.`
    return { kind: 'failed', reason: 'response_too_large', detail }
  }
  if (!response.ok) {
    const reason = response.errorClass ?? 'protocol_error'
    return {
      kind: 'failed',
      reason,
      detail: response.errorDetail ?? `The plugin answered ${response.status ?? 'nothing'}.`,
    }
  }
  return read(ctx, response.body, response.headers['etag'])
}

function read(ctx: CapabilityContext, body: string, etag: string | undefined): Fetched {
  let manifest: unknown
  try {
    manifest = parseJson(Buffer.from(body))
  } catch (error) {
    if (!(error instanceof JsonInputError)) throw error
    return { kind: 'failed', reason: 'invalid_json', detail: error.detail }
  }
  const errors = ctx.checkShape(manifest)
  if (errors.length > 0) return { kind: 'invalid', errors }
  return {
    kind: 'manifest',
    manifest: manifest as CapabilityManifest,
    etag: etag !== undefined && ETAG.test(etag) ? etag : null,
  }
}
