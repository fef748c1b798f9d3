import { timingSafeEqual } from 'node:crypto'
import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { boundedCache } from '#lib/bounded-cache.ts'
import { API_KEY_PREFIX, bearerKey, hashApiKey } from '#lib/secrets/api-key.ts'
import { bearerToken, hashToken, isToken } from '#lib/secrets/session-token.ts'
import { isUuid } from '#lib/ids.ts'
import { defineProblem, isProblem, type Problem } from '#lib/api/problem.ts'
import { type Access, accessOf } from './access.ts'
import { type Actor, SYSTEM_ACTOR } from './actor.ts'
import { hasScope } from './scopes.ts'
import { RateWindow } from '#lib/async/rate-window.ts'
import { KeyCache } from './key-cache.ts'
import { rateLimited } from '#infra/http/problems.ts'
import {
  type OpenMode,
  openTenant,
  refuseWebPages,
  untrustedHost,
  untrustedOrigin,
} from '#infra/http/open-mode.ts'
import { findKey, insertTenant, type KnownKey } from './repository.ts'
import { crossSite, readSessionCookie, refuseForeignPage } from './session-cookie.ts'
import { findSession, type SessionGround } from './session-repository.ts'

export { SYSTEM_ACTOR, type Actor } from './actor.ts'

export const unauthenticated = defineProblem(
  'unauthenticated',
  401,
  'A key is needed',
  'Send a live key as "Authorization: Bearer bcs_…", or log a browser in by POST /api/session.',
)
export const forbidden = defineProblem(
  'forbidden',
  403,
  'This key may not do that',
  'Use a key of the kind or role that the route asks for.',
)
export const tenantMismatch = defineProblem(
  'tenant_mismatch',
  403,
  'The request names another tenant',
  'Leave tenant_id and X-Tenant-Id out, or name the tenant that the key belongs to.',
)
export const tenantRequired = defineProblem(
  'tenant_required',
  400,
  'The tenant is not named',
  'A platform key acts for any tenant: name one by the X-Tenant-Id header, a UUID.',
)

/** The problems that any route with a key may answer, for its `response` schema. */
export const AUTH_PROBLEMS = [
  rateLimited,
  unauthenticated,
  forbidden,
  untrustedOrigin,
  untrustedHost,
  crossSite,
  tenantMismatch,
  tenantRequired,
] as const

/** The page on which people log in: a member of the problem for a request without a key or session. */
const LOGIN = { login: '/console/login' }

/** Finds whom a key or a session's token stands for, for logging in and out. */
export interface Identity {
  /** The live key of this text, as it is sent; null: none. */
  key(text: string): Promise<KnownKey | null>
  /** The live session that the request comes by, cookie or bearer; null: none. */
  session(request: FastifyRequest): Promise<KnownKey | null>
  /** Tells whether requests of this caller may name the tenant. */
  mayChooseTenant(actor: Actor): boolean
  readonly ground: SessionGround
}

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
  }
  interface FastifySchema {
    /** The callers of an operation in the OpenAPI document. */
    'x-access'?: Pick<Access, 'role' | 'plugin'>
  }
  interface FastifyInstance {
    identity: Identity
  }
  interface FastifyRequest {
    actor: Actor
    /** The tenant that this request works for. @throws `tenant_required` for a platform key that names none */
    tenantId: string
    /** The same, or null for a platform key that names none. */
    tenantScope: string | null
    /** The same, for a body that may name the tenant. @throws `tenant_mismatch` */
    tenantFor(bodyTenantId: string | undefined): string
  }
}

/**
 * Opens the routes that this scope registers from now on, and that do not say themselves who may call them. For
 * routes that others wrote: a page, static files.
 */
export function openTo(scope: Pick<FastifyInstance, 'addHook'>, role: Access['role']): void {
  scope.addHook('onRoute', (route) => {
    route.config = { access: { role }, ...route.config }
  })
}

const ROLE_RANK = { viewer: 1, editor: 2, admin: 3, platform: 4 } as const

/** Tells whether somebody's role has all that another one may do. Keys of plugins have none. */
export function hasRole({ role }: Pick<Actor, 'role'>, wanted: keyof typeof ROLE_RANK): boolean {
  return role !== null && ROLE_RANK[role] >= ROLE_RANK[wanted]
}

/** A revoked key is forgotten at once where the signal arrives, and after this long everywhere. */
const KEY_CACHE_MS = 5_000
/** About 400 bytes each. */
const KEY_CACHE_MAX = 10_000
/** Requests with a key that is none, or without one, that an address may send in a minute: each may cost a look-up. */
const FAILURES_PER_ADDRESS = 1_000
const FAILURES_WINDOW_MS = 60_000
const ADDRESSES_MAX = 10_000
const TENANT_CACHE_MAX = 100_000

export interface AuthOptions {
  /** No key configured and a loopback host: requests need no key. Null: they do. */
  open: OpenMode | null
  platformKey: string | null
  /** The URL at which browsers reach the service, if it is not the one in their requests. */
  publicUrl?: string | null
  /** Failed requests an address may send in a minute, for tests. */
  failuresPerAddress?: number
}

export default fp(
  async (app, options: AuthOptions) => {
    const remembering = {
      ttlMs: KEY_CACHE_MS,
      maxEntries: KEY_CACHE_MAX,
      // It ends with its plugin, and its scopes count, from the next request on, everywhere.
      keeps: ({ actor }: KnownKey) => actor.pluginId === null,
    }
    const cache = new KeyCache<KnownKey>(remembering)
    const sessions = new KeyCache<KnownKey>(remembering)
    const publicUrl = options.publicUrl ?? null
    const platformHash = options.platformKey === null ? null : hashApiKey(options.platformKey)
    const ground: SessionGround = { platformKeyHash: platformHash, isOpen: options.open !== null }
    const knownTenants = boundedCache<true>(TENANT_CACHE_MAX)
    /** Keys that were live when they were last looked up: an address that others fail from does not shut them out. */
    const proven = boundedCache<true>(KEY_CACHE_MAX)
    const failures = new RateWindow({
      limit: options.failuresPerAddress ?? FAILURES_PER_ADDRESS,
      windowMs: FAILURES_WINDOW_MS,
      maxKeys: ADDRESSES_MAX,
    })
    app.signals.subscribe('key_changed', () => {
      cache.clear()
      sessions.clear()
    })
    app.signals.subscribe('session_changed', () => sessions.clear())
    app.decorate('identity', {
      async key(text) {
        const hash = hashApiKey(text)
        if (isPlatformKey(hash)) {
          return { actor: { ...SYSTEM_ACTOR, kind: 'platform' }, expiresAt: Number.POSITIVE_INFINITY }
        }
        return text.startsWith(API_KEY_PREFIX) ? findKey(app, hash) : null
      },
      async session(request) {
        const { authorization } = request.headers
        const token = authorization === undefined ? readSessionCookie(request) : bearerToken(authorization)
        if (token === null || (authorization === undefined && !isToken(token))) return null
        refuseGuessing(request)
        const found = await findSession(app, hashToken(token), ground)
        if (found === null) failures.take(request.ip)
        return found
      },
      mayChooseTenant({ kind, tenantId }) {
        if (kind !== 'open') return tenantId === null
        const tenants = options.open?.tenants ?? []
        return tenants === 'any' || tenants.length > 0
      },
      ground,
    } satisfies Identity)

    app.addHook('onRoute', (route) => {
      const access = accessOf(route.schema?.operationId) ?? route.config?.access
      if (access === undefined) return
      route.config = { ...route.config, access }
      const { role, plugin } = access
      if (route.schema?.operationId !== undefined) {
        route.schema = { ...route.schema, 'x-access': { role, ...(plugin !== undefined && { plugin }) } }
      }
    })
    app.decorateRequest('actor', null as unknown as Actor)
    app.decorateRequest('tenantScope', {
      getter(this: FastifyRequest) {
        return scopeOf(this)
      },
    })
    app.decorateRequest('tenantId', {
      getter(this: FastifyRequest) {
        return this.tenantFor(undefined)
      },
    })
    app.decorateRequest('tenantFor', function (this: FastifyRequest, bodyTenantId: string | undefined) {
      return tenantOf(this, bodyTenantId)
    })

    // Before the body is read: a caller without a key does not get to send us megabytes. A key that is remembered is
    // looked up without a promise: at thousands of requests a second the promise is the cost of authentication.
    app.addHook('onRequest', (request, _reply, done) => {
      const access = request.routeOptions.config.access
      if (request.is404 || access?.role === 'public') {
        done()
        return
      }
      // Secure by default: a route that forgot to say who may call it is nobody's.
      if (access === undefined) throw forbidden()
      const actor = counted(request, () => identify(request))
      if (!(actor instanceof Promise)) {
        admit(request, access, actor)
        done()
        return
      }
      actor
        .catch((error: unknown) => countFailure(request, error))
        .then((found) => admit(request, access, found))
        .then(() => done(), done)
    })
    app.addHook('preHandler', (request, _reply, done) => {
      const { actor } = request as { actor: Actor | null }
      const unknown =
        isRead(request) || request.is404 || actor?.tenantId !== null ? undefined : unknownTenantOf(request)
      if (unknown === undefined) done()
      else ensureTenant(unknown).then(() => done(), done)
    })

    function counted<T>(request: FastifyRequest, identified: () => T): T {
      try {
        return identified()
      } catch (error) {
        return countFailure(request, error)
      }
    }

    function countFailure({ ip }: FastifyRequest, error: unknown): never {
      if (isProblem(error, unauthenticated)) failures.take(ip)
      throw error
    }

    /** @throws `rate_limited` for an address from which too much has failed, before anything is looked up */
    function refuseGuessing({ ip }: FastifyRequest): void {
      const waitSeconds = failures.exhausted(ip)
      if (waitSeconds === null) return
      throw rateLimited(undefined, { headers: { 'retry-after': String(waitSeconds) } })
    }

    function isPlatformKey(hash: Buffer): boolean {
      return platformHash !== null && timingSafeEqual(hash, platformHash)
    }

    function identify(request: FastifyRequest): Actor | Promise<Actor> {
      const requestId = request.id
      const header = request.headers.authorization
      if (header === undefined) {
        const token = readSessionCookie(request)
        return token === null || isReadFromAnotherSite(request)
          ? identifyNobody(request)
          : identifyCookie(request, token)
      }
      const token = bearerToken(header)
      if (token !== null) return identifySession(request, token, invalidToken)
      const key = bearerKey(header)
      if (key === null) {
        refuseGuessing(request)
        throw invalidToken()
      }
      const hash = hashApiKey(key)
      if (isPlatformKey(hash)) return { ...SYSTEM_ACTOR, kind: 'platform', requestId }
      const name = hash.toString('base64')
      const known = cache.known(name)
      if (known != null) return actorOf(known, requestId)
      if (!proven.has(name)) refuseGuessing(request)
      if (known === null) throw invalidToken()
      return cache
        .get(name, () => findKey(app, hash))
        .then((found) => {
          remember(name, found !== null)
          return actorOf(found, requestId)
        })
    }

    /** Sends neither a key nor a session. */
    function identifyNobody(request: FastifyRequest): Actor {
      if (options.open !== null) {
        refuseWebPages(request, options.open)
        return { ...SYSTEM_ACTOR, kind: 'open', requestId: request.id }
      }
      refuseGuessing(request)
      throw unauthenticated(undefined, { headers: { 'www-authenticate': 'Bearer' }, extensions: LOGIN })
    }

    /**
     * Identifies by a cookie. Where no key is needed, a cookie that is not known is ignored: it may be another
     * service's on this machine.
     */
    function identifyCookie(request: FastifyRequest, token: string): Actor | Promise<Actor> {
      if (options.open === null) {
        if (!isRead(request)) refuseForeignPage(request, publicUrl)
        return identifyToken(request, token, sessionEnded)
      }
      const checked = (actor: Actor): Actor => {
        if (!isRead(request)) refuseForeignPage(request, publicUrl)
        return actor
      }
      const orNobody = (error: unknown): Actor => {
        if (isProblem(error, unauthenticated)) return identifyNobody(request)
        throw error
      }
      return Promise.resolve()
        .then(() => identifyToken(request, token, sessionEnded))
        .then(checked, orNobody)
    }

    /** The token of a bearer is none of a cookie's. */
    function identifyToken(
      request: FastifyRequest,
      token: string,
      ended: () => Problem,
    ): Actor | Promise<Actor> {
      if (isToken(token)) return identifySession(request, token, ended)
      refuseGuessing(request)
      throw ended()
    }

    function identifySession(
      request: FastifyRequest,
      token: string,
      ended: () => Problem,
    ): Actor | Promise<Actor> {
      const hash = hashToken(token)
      const name = hash.toString('base64')
      const known = sessions.known(name)
      if (known != null) return actorOf(known, request.id, ended)
      if (!proven.has(name)) refuseGuessing(request)
      if (known === null) throw ended()
      return sessions
        .get(name, () => findSession(app, hash, ground))
        .then((found) => {
          remember(name, found !== null)
          return actorOf(found, request.id, ended)
        })
    }

    function remember(name: string, isLive: boolean): void {
      if (isLive) proven.set(name, true)
      else proven.delete(name)
    }

    /** The tenant that the caller is bound to, or names by its header. */
    function namedScope({ actor, headers }: FastifyRequest): string | null {
      const named = headers['x-tenant-id'] as string | undefined
      if (actor.kind === 'open' && options.open !== null) return openTenant(named, options.open)
      return actor.tenantId ?? named?.toLowerCase() ?? null
    }

    function scopeOf(request: FastifyRequest): string | null {
      return namedScope(request) ?? request.actor.session?.chosenTenantId ?? null
    }

    function tenantOf(request: FastifyRequest, bodyTenantId: string | undefined): string {
      const named = namedScope(request)
      const asked = bodyTenantId?.toLowerCase()
      if (named !== null && asked !== undefined && asked !== named) throw tenantMismatch()
      const tenantId = named ?? asked ?? scopeOf(request)
      if (tenantId === null) throw tenantRequired()
      return tenantId
    }

    /** The tenant that a change is made for, unless its row is known to be there. */
    function unknownTenantOf(request: FastifyRequest): string | undefined {
      const access = request.routeOptions.config.access
      const optional = access?.tenant === 'optional' || access?.role === 'platform'
      if (optional && scopeOf(request) === null) return undefined
      const body = request.body as { tenant_id?: unknown } | undefined | null
      const asked = typeof body?.tenant_id === 'string' && isUuid(body.tenant_id) ? body.tenant_id : undefined
      const id = tenantOf(request, asked)
      return knownTenants.get(id) === true ? undefined : id
    }

    /** Tenants are the platform's: the first change made for one makes its row. */
    async function ensureTenant(id: string): Promise<void> {
      await insertTenant(app.db, id)
      knownTenants.set(id, true)
    }
  },
  { name: 'auth', dependencies: ['db', 'signals', 'problems'] },
)

function admit(request: FastifyRequest, access: Access, actor: Actor): void {
  request.actor = actor
  checkNamedTenant(request)
  authorise(request, access)
}

/** @throws `unauthenticated` for a key or session that is not there, or not any more */
function actorOf(key: KnownKey | null, requestId: string, ended: () => Problem = invalidToken): Actor {
  if (key === null || key.expiresAt <= performance.now()) throw ended()
  return { ...key.actor, requestId }
}

function isRead({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** SameSite keeps the cookie at home already, in browsers that know it. */
function isReadFromAnotherSite(request: FastifyRequest): boolean {
  return isRead(request) && request.headers['sec-fetch-site'] === 'cross-site'
}

/** Leaves the cookie alone: this answer may come after one that has set its successor. */
function sessionEnded(): Problem {
  return unauthenticated('The session has ended: log in again.', {
    headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
    extensions: LOGIN,
  })
}

/** One answer for malformed, unknown, expired and revoked keys: it tells nobody which of them it was. */
function invalidToken(): Problem {
  return unauthenticated(undefined, { headers: { 'www-authenticate': 'Bearer error="invalid_token"' } })
}

/** Checked on every route, also where the tenant plays no part: a caller's mistake shows at once. */
function checkNamedTenant({ actor, headers }: FastifyRequest): void {
  const named = headers['x-tenant-id']
  if (named === undefined) return
  if (typeof named !== 'string' || !isUuid(named)) throw tenantRequired('X-Tenant-Id must be a UUID.')
  if (actor.tenantId !== null && actor.tenantId !== named.toLowerCase()) throw tenantMismatch()
}

function authorise(request: FastifyRequest, access: Access): void {
  const { actor } = request
  if (actor.pluginId !== null) {
    if (access.plugin === undefined) throw forbidden()
    if (access.plugin !== 'any' && !hasScope(actor.scopes ?? [], access.plugin)) {
      throw forbidden(
        `The plugin's scopes do not have "${access.plugin}": GET /api/plugins/{slug} shows them, and the shop changes them by PATCH.`,
      )
    }
    const { slug } = request.params as { slug?: string }
    if (slug !== undefined && slug !== actor.pluginSlug) throw forbidden()
    return
  }
  if (access.role === 'public') return
  if (!hasRole(actor, access.role)) throw forbidden()
}
