import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Actor, type Identity, tenantMismatch, unauthenticated } from '#infra/auth/auth.ts'
import {
  crossSite,
  isForeignPage,
  readSessionCookie,
  refuseForeignPage,
  sessionCookie,
} from '#infra/auth/session-cookie.ts'
import { invalidCursor, rateLimited } from '#infra/http/problems.ts'
import { BODY_PROBLEMS, OPEN_PROBLEMS, READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { PageQuery, problems, ref, withHeaders } from '#lib/api/schema.ts'
import { isProblem } from '#lib/api/problem.ts'
import { RateWindow } from '#lib/async/rate-window.ts'
import { portalLinkInvalid } from '#modules/portal/index.ts'
import { sessionNotFound } from './errors.ts'
import { NewSession, Session, SessionHeaders, SessionPage, SessionParams, StartedSession } from './schemas.ts'
import {
  describeCaller,
  endOwnSession,
  listSessions,
  revokeSession,
  type SessionContext,
  startSession,
} from './service.ts'

const tags = ['sessions']
const SCOPE =
  "Works on the tenant's sessions; for a platform key that sends no X-Tenant-Id, on all there are."
/**
 * Logins that may fail, and sessions, for one address in a window: guessing gets nowhere with ten failures, but an
 * office with one address has many people, and frames log in anew.
 */
const FAILURES_PER_ADDRESS = 10
const SESSIONS_PER_ADDRESS = 60
const LOGIN_WINDOW_MS = 60_000
/** About 150 bytes each. */
const ADDRESSES_MAX = 10_000

interface RouteOptions {
  identity: Identity
  publicUrl: string | null
}

export function sessionRoutes(
  app: FastifyInstance,
  ctx: SessionContext,
  { identity, publicUrl }: RouteOptions,
): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()
  const windowOf = (limit: number): RateWindow =>
    new RateWindow({ limit, windowMs: LOGIN_WINDOW_MS, maxKeys: ADDRESSES_MAX })
  const failures = windowOf(FAILURES_PER_ADDRESS)
  const logins = windowOf(SESSIONS_PER_ADDRESS)

  api.post(
    '/api/session',
    {
      schema: {
        operationId: 'createSession',
        tags,
        summary: 'Log a browser in',
        description:
          'Exchanges a key or the token of a portal link for a cookie, which JavaScript cannot read. It acts as the key does, ' +
          'for 12 hours at most, or as the link says, and ends after 30 minutes without a request. An address has 10 failed ' +
          'tries and 60 sessions a minute. A session that the browser had until now is ended.',
        headers: SessionHeaders,
        body: ref(NewSession),
        response: {
          200: withHeaders(ref(StartedSession), 'cache-control', 'set-cookie'),
          ...problems(
            ...OPEN_PROBLEMS,
            ...BODY_PROBLEMS,
            unauthenticated,
            portalLinkInvalid,
            tenantMismatch,
            crossSite,
            rateLimited,
          ),
        },
        security: [],
      },
    },
    async (request, reply) => {
      countLogin(request)
      const transport = request.headers['x-bcs-session'] ?? 'cookie'
      const replaces = transport === 'cookie' ? await replacedBy(request) : null
      const { token, session } = await startSession(ctx, request.body, {
        transport,
        requestId: request.id,
        replaces,
      }).catch((error: unknown) => {
        const isGuess = isProblem(error, unauthenticated) || isProblem(error, portalLinkInvalid)
        if (isGuess) failures.take(request.ip)
        throw error
      })
      void reply.header('cache-control', 'no-store')
      if (transport === 'bearer') return { ...session, token }
      void reply.header('set-cookie', sessionCookie(request, token))
      return session
    },
  )

  api.get(
    '/api/session',
    {
      schema: {
        operationId: 'getSession',
        tags,
        summary: 'Say who calls',
        description:
          'For every caller: with a key, with a session, or without either where no key is needed.',
        response: { 200: withHeaders(ref(Session), 'cache-control'), ...problems(...READ_PROBLEMS) },
      },
    },
    async (request, reply) => {
      void reply.header('cache-control', 'no-store')
      return describeCaller(ctx, request.actor, request.tenantScope)
    },
  )

  api.delete(
    '/api/session',
    {
      schema: {
        operationId: 'endSession',
        tags,
        summary: 'Log out',
        description:
          'Ends the session that the request comes by. Where it is the cookie’s, that is taken away. There may be none.',
        response: {
          204: withHeaders(Type.Null({ description: 'There is no session any more' }), 'set-cookie'),
          ...problems(...OPEN_PROBLEMS, ...BODY_PROBLEMS, crossSite, rateLimited),
        },
        security: [],
      },
    },
    async (request, reply) => {
      if (comesByCookie(request)) refuseForeignPage(request, publicUrl)
      const actor = await sessionOf(request)
      if (actor !== null) await endOwnSession(ctx, actor)
      if (request.headers.authorization === undefined) {
        void reply.header('set-cookie', sessionCookie(request, null))
      }
      return reply.code(204).send(null)
    },
  )

  api.get(
    '/api/sessions',
    {
      schema: {
        operationId: 'listSessions',
        tags,
        summary: 'List sessions, newest first',
        description: `${SCOPE} What has ended goes 30 days later.`,
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: ref(SessionPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async ({ actor, tenantScope, query }) => listSessions(ctx, actor, tenantScope, query),
  )

  api.delete(
    '/api/sessions/:id',
    {
      schema: {
        operationId: 'revokeSession',
        tags,
        summary: 'End a session',
        description: `${SCOPE} It is refused everywhere at once and stays in the list. Ending it again changes nothing.`,
        params: SessionParams,
        response: {
          204: Type.Null({ description: 'The session has ended' }),
          ...problems(...WRITE_PROBLEMS, sessionNotFound),
        },
      },
    },
    async (request, reply) => {
      await revokeSession(ctx, request.actor, request.tenantScope, request.params.id)
      return reply.code(204).send(null)
    },
  )

  /** @throws `rate_limited` */
  function countLogin({ ip }: FastifyRequest): void {
    const waitSeconds = failures.exhausted(ip) ?? logins.take(ip)
    if (waitSeconds === null) return
    throw rateLimited(undefined, { headers: { 'retry-after': String(waitSeconds) } })
  }

  /**
   * The session that a new cookie takes the place of. Nobody else's page logs a browser in: its user would not know as
   * whom they work.
   */
  async function replacedBy(request: FastifyRequest): Promise<Actor | null> {
    if (isForeignPage(request, publicUrl)) throw crossSite()
    return comesByCookie(request) ? sessionOf(request) : null
  }

  async function sessionOf(request: FastifyRequest): Promise<Actor | null> {
    const known = await identity.session(request)
    return known === null ? null : { ...known.actor, requestId: request.id }
  }
}

function comesByCookie(request: FastifyRequest): boolean {
  return request.headers.authorization === undefined && readSessionCookie(request) !== null
}
