import { parseCookie, stringifySetCookie } from 'cookie'
import type { FastifyRequest } from 'fastify'
import { isLoopbackHost } from '#infra/http/open-mode.ts'
import { defineProblem } from '#lib/api/problem.ts'

export const crossSite = defineProblem(
  'cross_site',
  403,
  'Another site may not act with a session',
  "A session's cookie changes something only from the service's own pages: with Sec-Fetch-Site: same-origin, or the " +
    'same Origin, and with the header x-bcs-console: 1. Everybody else sends a key.',
)

/** The prefix is the browser's promise that this host has set it, over https. */
const SECURE_NAME = '__Host-bcs_session'
/** On this machine, without https: no browser would keep the other one. */
const PLAIN_NAME = 'bcs_session'

type RequestOrigin = Pick<FastifyRequest, 'headers' | 'host' | 'protocol'>

/** The session's token as the browser sends it; null: it sends none. */
export function readSessionCookie(request: RequestOrigin): string | null {
  const { cookie } = request.headers
  if (cookie === undefined) return null
  const cookies = parseCookie(cookie)
  const token = cookies[SECURE_NAME] ?? (isPlain(request) ? cookies[PLAIN_NAME] : undefined)
  return token === undefined || token === '' ? null : token
}

/** The value of Set-Cookie that logs a browser in; `null` for the token: that logs it out. */
export function sessionCookie(request: RequestOrigin, token: string | null): string {
  const name = nameFor(request)
  return stringifySetCookie({
    name,
    value: token ?? '',
    ...(token === null && { maxAge: 0 }),
    httpOnly: true,
    secure: name === SECURE_NAME,
    sameSite: 'strict',
    path: '/',
  })
}

/**
 * Refuses a change that a page of another site makes with the browser's cookie. The header makes a browser ask first
 * (CORS), should it ever tell neither the site nor the origin.
 *
 * @throws `cross_site`
 */
export function refuseForeignPage(request: RequestOrigin, publicUrl: string | null): void {
  if (!isOwnPage(request, publicUrl)) throw crossSite()
  if (request.headers['x-bcs-console'] !== '1') {
    throw crossSite(
      'The header x-bcs-console: 1 is missing, by which the pages of the service tell that it is they.',
    )
  }
}

/** Tells whether a browser says that the request comes from a page of another site. */
export function isForeignPage(request: RequestOrigin, publicUrl: string | null): boolean {
  const { origin, 'sec-fetch-site': site } = request.headers
  return (origin !== undefined || site !== undefined) && site !== 'none' && !isOwnPage(request, publicUrl)
}

function isOwnPage(request: RequestOrigin, publicUrl: string | null): boolean {
  const { origin, 'sec-fetch-site': site } = request.headers
  if (site !== undefined) return site === 'same-origin'
  if (origin === undefined) return false
  const own = [ownOrigin(request), ...(publicUrl === null ? [] : [publicUrl])]
  return own.some((url) => URL.parse(url)?.origin === origin)
}

/** Returns the origin at which the caller reached the service. */
export function ownOrigin({ protocol, host }: RequestOrigin): string {
  return `${protocol}://${host}`
}

/** A proxy may hide the host and the scheme by which the browser came; at login the browser tells them by Origin. */
function nameFor(request: RequestOrigin): string {
  return isPlain(request) && request.headers.origin?.startsWith('https:') !== true ? PLAIN_NAME : SECURE_NAME
}

function isPlain({ protocol, host }: RequestOrigin): boolean {
  return protocol === 'http' && isLoopbackHost(host)
}
