import type { FastifyRequest } from 'fastify'
import { defineProblem } from '#lib/api/problem.ts'

export const untrustedOrigin = defineProblem(
  'untrusted_origin',
  403,
  'Without a key no web page may call',
  'Call http://127.0.0.1 or http://localhost from this machine, and from no page of another origin. For pages make a key ' +
    'with "npm run key", or name their origin in CORS_ORIGINS.',
)

export const untrustedHost = defineProblem(
  'untrusted_host',
  421,
  'Without a key the service answers only to its own names',
  'Call http://127.0.0.1 or http://localhost from this machine, or by the host of PUBLIC_URL. For other names make a ' +
    'key with "npm run key".',
)

export interface OpenMode {
  /** The tenant that requests without a key work for. */
  readonly tenantId: string
  /** Others that X-Tenant-Id may name. */
  readonly tenants: readonly string[] | 'any'
  /** Origins whose pages may call. */
  readonly origins: readonly string[]
  /** The URL by whose host it may be called, beside this machine's own names. */
  readonly publicUrl: string | null
}

/** A name or address that leads to this machine alone, with or without a port. */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i

export function isLoopbackHost(host: string): boolean {
  return LOOPBACK.test(host)
}

/**
 * In open mode whoever sits at this machine may do everything, and so might every page that is open in its browser. A
 * page gives itself away: by the name that it called (its own, made to lead here: DNS rebinding), by the browser's
 * Sec-Fetch-Site, or by its Origin.
 *
 * @throws `untrusted_host`, `untrusted_origin`
 */
export function refuseWebPages({ headers, method }: FastifyRequest, { origins, publicUrl }: OpenMode): void {
  const { host, origin, 'sec-fetch-site': site } = headers
  if (host === undefined || !(isLoopbackHost(host) || isHostOf(publicUrl, host))) throw untrustedHost()
  if (origin !== undefined && origins.includes(origin)) return
  const reads = method === 'GET' || method === 'HEAD'
  if (site === 'cross-site' || (site === 'same-site' && !reads)) throw untrustedOrigin()
  if (origin !== undefined && !isHostOf(origin, host)) throw untrustedOrigin()
}

function isHostOf(url: string | null, host: string): boolean {
  const parsed = url === null ? null : URL.parse(url)
  return parsed !== null && parsed.host === URL.parse(`${parsed.protocol}//${host}`)?.host
}

/** The tenant that a request without a key works for: another one that it names counts only if it may. */
export function openTenant(named: string | undefined, { tenantId, tenants }: OpenMode): string {
  const other = named?.toLowerCase()
  return other !== undefined && (tenants === 'any' || tenants.includes(other)) ? other : tenantId
}
