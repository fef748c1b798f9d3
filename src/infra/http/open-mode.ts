import type { FastifyRequest } from 'fastify'
import { defineProblem } from '#lib/api/problem.ts'

export const untrustedOrigin = defineProblem(
  'untrusted_origin',
  403,
  'Without a key no web page may call',
  'Call http://127.0.0.1 or http://localhost from this machine, and from no page of another origin. For pages make a key ' +
    'with "npm run key", or name their origin in CORS_ORIGINS.',
)

export interface OpenMode {
  /** The tenant that requests without a key work for. */
  readonly tenantId: string
  /** Others that X-Tenant-Id may name. */
  readonly tenants: readonly string[] | 'any'
  /** Origins whose pages may call. */
  readonly origins: readonly string[]
}

/** A name or address that leads to this machine alone, with or without a port. */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i

/**
 * In open mode whoever sits at this machine may do everything, and so might every page that is open in its browser. A
 * page gives itself away: by the name that it called (its own, made to lead here: DNS rebinding), by the browser's
 * Sec-Fetch-Site, or by its Origin.
 *
 * @throws `untrusted_origin`
 */
export function refuseWebPages({ headers }: FastifyRequest, { origins }: OpenMode): void {
  const { host, origin } = headers
  if (host === undefined || !LOOPBACK.test(host)) throw untrustedOrigin()
  if (origin !== undefined && origins.includes(origin)) return
  if (headers['sec-fetch-site'] === 'cross-site') throw untrustedOrigin()
  if (origin !== undefined && URL.parse(origin)?.host !== URL.parse(`http://${host}`)?.host) {
    throw untrustedOrigin()
  }
}

/** The tenant that a request without a key works for: another one that it names counts only if it may. */
export function openTenant(named: string | undefined, { tenantId, tenants }: OpenMode): string {
  const other = named?.toLowerCase()
  return other !== undefined && (tenants === 'any' || tenants.includes(other)) ? other : tenantId
}
