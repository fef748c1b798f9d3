import fp from 'fastify-plugin'
import type { FastifyRequest } from 'fastify'
import { type Kysely, sql } from 'kysely'
import type { ActorKind, DB, TenantRole } from '../../db/schema.ts'
import { bearerKey, hashApiKey, isSameKey } from '../lib/api-key.ts'
import { isUuid } from '../lib/ids.ts'
import { defineProblem } from '../lib/problem.ts'

export const unauthenticated = defineProblem(
  'unauthenticated',
  401,
  'A key is needed',
  'Send a live key as "Authorization: Bearer bcs_…".',
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
export const AUTH_PROBLEMS = [unauthenticated, forbidden, tenantMismatch, tenantRequired] as const

/**
 * What a route asks of its caller. A tenant key needs at least the role; platform keys may do all of it.
 * `plugin` lets a plugin's own key in: with a `:slug` in the path only for that plugin, else the handler
 * narrows by `request.actor.pluginId`.
 */
export interface Access {
  role: 'public' | TenantRole | 'platform'
  plugin?: boolean
}

/** Who does it. Services take this where they write the audit log; they never see a request. */
export interface Actor {
  kind: ActorKind
  /** The key's id; null in open mode, for the environment's platform key and for the service itself. */
  id: string | null
  /** Null: any tenant. */
  tenantId: string | null
  role: TenantRole | 'platform' | null
  pluginId: string | null
  pluginSlug: string | null
  requestId: string | null
}

export const SYSTEM_ACTOR: Actor = {
  kind: 'system',
  id: null,
  tenantId: null,
  role: 'platform',
  pluginId: null,
  pluginSlug: null,
  requestId: null,
}

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
  }
  interface FastifyRequest {
    actor: Actor
    /** The tenant that this request works for. @throws `tenant_required` for a platform key that names none */
    tenantId: string
    /** The same, for a body that may name the tenant. @throws `tenant_mismatch` */
    tenantFor(bodyTenantId: string | undefined): string
  }
}

const ROLE_RANK = { viewer: 1, editor: 2, admin: 3, platform: 4 } as const
/** A revoked key is forgotten at once where the signal arrives, and after this long everywhere. */
const KEY_CACHE_MS = 5_000
const KEY_CACHE_MAX = 10_000
const TENANT_CACHE_MAX = 100_000

type KnownKey = Omit<Actor, 'requestId'> & { expiresAt: number }

export interface AuthOptions {
  /** No key configured and a loopback host: requests without a key work for this tenant. Null: keys are needed. */
  openTenantId: string | null
  platformKey: string | null
}

export default fp(
  async (app, options: AuthOptions) => {
    const cache = new Map<string, { key: KnownKey | null; until: number }>()
    const knownTenants = new Set<string>()
    app.signals.subscribe('key_changed', () => cache.clear())

    app.decorateRequest('actor', null as unknown as Actor)
    app.decorateRequest('tenantId', {
      getter(this: FastifyRequest) {
        return this.tenantFor(undefined)
      },
    })
    app.decorateRequest('tenantFor', function (this: FastifyRequest, bodyTenantId: string | undefined) {
      return tenantOf(this, bodyTenantId)
    })

    app.addHook('onRequest', async (request) => {
      const access = request.routeOptions.config.access
      if (request.is404 || access?.role === 'public') return
      // Secure by default: a route that forgot to say who may call it is nobody's.
      if (access === undefined) throw forbidden()
      request.actor = { ...(await identify(request)), requestId: request.id }
      authorise(request, access)
    })
    app.addHook('preHandler', async (request) => {
      if (request.method === 'GET' || request.method === 'HEAD' || request.is404) return
      const { actor } = request as { actor: Actor | null }
      if (actor !== null && actor.tenantId === null) await ensureTenant(request)
    })

    async function identify(request: FastifyRequest): Promise<Omit<Actor, 'requestId'>> {
      const header = request.headers.authorization
      if (header === undefined && options.openTenantId !== null) {
        return { ...SYSTEM_ACTOR, kind: 'open' }
      }
      const key = bearerKey(header)
      if (key === null) throw unauthenticated(undefined, { headers: { 'www-authenticate': 'Bearer' } })
      if (options.platformKey !== null && isSameKey(key, options.platformKey)) {
        return { ...SYSTEM_ACTOR, kind: 'platform' }
      }
      const known = await lookUp(key)
      if (known === null || known.expiresAt <= Date.now()) {
        throw unauthenticated(undefined, { headers: { 'www-authenticate': 'Bearer error="invalid_token"' } })
      }
      return known
    }

    async function lookUp(key: string): Promise<KnownKey | null> {
      const hash = hashApiKey(key)
      const name = hash.toString('base64')
      const cached = cache.get(name)
      if (cached !== undefined && cached.until > Date.now()) return cached.key
      const found = await findKey(app.db, hash)
      if (cache.size >= KEY_CACHE_MAX) cache.clear()
      cache.set(name, { key: found, until: Date.now() + KEY_CACHE_MS })
      return found
    }

    function tenantOf(request: FastifyRequest, bodyTenantId: string | undefined): string {
      const { actor } = request
      const header = request.headers['x-tenant-id']
      if (header !== undefined && (typeof header !== 'string' || !isUuid(header))) {
        throw tenantRequired('X-Tenant-Id must be a UUID.')
      }
      const named = header?.toLowerCase()
      const bound = actor.tenantId ?? named ?? (actor.kind === 'open' ? options.openTenantId : null)
      const asked = bodyTenantId?.toLowerCase()
      if (bound === null || bound === undefined) {
        if (asked !== undefined) return asked
        throw tenantRequired()
      }
      if ((named !== undefined && named !== bound) || (asked !== undefined && asked !== bound)) {
        throw tenantMismatch()
      }
      return bound
    }

    /** Tenants are the platform's: the first change made for one makes its row. */
    async function ensureTenant(request: FastifyRequest): Promise<void> {
      const body = request.body as { tenant_id?: unknown } | undefined | null
      const asked = typeof body?.tenant_id === 'string' && isUuid(body.tenant_id) ? body.tenant_id : undefined
      if (
        request.routeOptions.config.access?.role === 'platform' &&
        request.headers['x-tenant-id'] === undefined
      )
        return
      const id = tenantOf(request, asked)
      if (knownTenants.has(id)) return
      await app.db
        .insertInto('tenants')
        .values({ id })
        .onConflict((conflict) => conflict.column('id').doNothing())
        .execute()
      if (knownTenants.size >= TENANT_CACHE_MAX) knownTenants.clear()
      knownTenants.add(id)
    }
  },
  { name: 'auth', dependencies: ['db', 'signals', 'problems'] },
)

function authorise(request: FastifyRequest, access: Access): void {
  const { actor } = request
  if (actor.kind === 'plugin') {
    if (access.plugin !== true) throw forbidden()
    const { slug } = request.params as { slug?: string }
    if (slug !== undefined && slug !== actor.pluginSlug) throw forbidden()
    return
  }
  if (access.role === 'public') return
  if (actor.role === null || ROLE_RANK[actor.role] < ROLE_RANK[access.role]) throw forbidden()
}

async function findKey(db: Kysely<DB>, hash: Buffer): Promise<KnownKey | null> {
  const row = await db
    .selectFrom('api_keys as key')
    .leftJoin('plugins as plugin', 'plugin.id', 'key.plugin_id')
    .select([
      'key.id',
      'key.kind',
      'key.tenant_id',
      'key.role',
      'key.plugin_id',
      'key.expires_at',
      'plugin.slug',
    ])
    .where('key.hash', '=', hash)
    .where('key.revoked_at', 'is', null)
    .where('plugin.deleted_at', 'is', null)
    .executeTakeFirst()
  if (row === undefined) return null
  await touchKey(db, row.id)
  return {
    kind: row.kind,
    id: row.id,
    tenantId: row.tenant_id,
    role: row.kind === 'platform' ? 'platform' : row.role,
    pluginId: row.plugin_id,
    pluginSlug: row.slug,
    expiresAt: row.expires_at?.getTime() ?? Infinity,
  }
}

async function touchKey(db: Kysely<DB>, id: string): Promise<void> {
  await db
    .updateTable('api_keys')
    .set((eb) => ({ last_used_at: eb.fn('now') }))
    .where('id', '=', id)
    .where(({ eb, or, fn }) =>
      or([
        eb('last_used_at', 'is', null),
        eb('last_used_at', '<', eb(fn<Date>('now'), '-', sql<Date>`interval '1 minute'`)),
      ]),
    )
    .execute()
}
