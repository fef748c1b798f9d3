import fp from 'fastify-plugin'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import type { Kysely } from 'kysely'
import { isPassing } from '#db/errors.ts'
import { migrationStatus } from '#db/migrate.ts'
import { problems, ref, StringEnum } from '#lib/api/schema.ts'
import type { PartState } from './background.ts'
import { OPEN_WRITER_WARNING_SECONDS, type OpenWriter } from './open-writers.ts'
import { TimeoutError, withTimeout } from '#lib/async/timeout.ts'
import { invalidRequest } from './http/problems.ts'
import { probeWrite, readServerState, type ServerConnections } from './health-repository.ts'

const HealthCheck = Type.Object(
  {
    status: StringEnum(['ok', 'warning', 'failed']),
    detail: Type.String({ description: 'One sentence for the operator' }),
  },
  { $id: 'HealthCheck' },
)
type HealthCheck = Static<typeof HealthCheck>

const Liveness = Type.Object({ status: StringEnum(['ok']) }, { $id: 'Liveness' })

const Readiness = Type.Object(
  {
    status: StringEnum(['ready', 'not_ready', 'draining']),
    checks: Type.Object({
      database: ref(HealthCheck),
      migrations: ref(HealthCheck),
      transactions: ref(HealthCheck),
      worker: ref(HealthCheck),
      secrets: ref(HealthCheck),
      connections: ref(HealthCheck),
    }),
    background: Type.Record(Type.String(), ref(HealthCheck), {
      description:
        'Background work by name: what this process runs, and queues that all processes share. `checks.worker` sums it up',
    }),
  },
  {
    $id: 'Readiness',
    description: 'Ready when no check has failed; a warning is for people, not for load balancers',
  },
)
type Readiness = Static<typeof Readiness>

declare module 'fastify' {
  interface FastifyInstance {
    /** Aborted when the process begins to close: readiness has ended, and pending checks are given up. */
    draining: AbortSignal
    /** Begins that. Idempotent. */
    drain(): void
    /**
     * Ends readiness, and with each answer its connection, while all else goes on: for balancers that have to notice
     * before the socket closes. Idempotent.
     */
    retire(): void
  }
  interface FastifyContextConfig {
    /** Served by every process, whatever its roles, and never shed: health and metrics. */
    operation?: boolean
  }
}

/** However often somebody asks, the database is looked at this often. */
const READINESS_CACHE_MS = 1_000
const DATABASE_TIMEOUT_MS = 1_000
/** Beyond it the next process may find none. */
const CONNECTIONS_WARNING_SHARE = 0.9

export default fp(
  async (app) => {
    const stop = new AbortController()
    let isRetiring = false
    app.decorate('draining', stop.signal)
    const drain = (): void => {
      isRetiring = true
      stop.abort()
    }
    app.decorate('drain', drain)
    app.decorate('retire', () => {
      isRetiring = true
    })
    app.addHook('preClose', async () => drain())
    app.addHook('onSend', async (_request, reply) => {
      if (isRetiring) reply.header('connection', 'close')
    })
    for (const schema of [HealthCheck, Liveness, Readiness]) app.addSchema(schema)

    const config = { access: { role: 'public' }, rateLimit: false, operation: true } as const
    const shared = { tags: ['operation'], security: [] }
    app.get(
      '/health/live',
      {
        config,
        logLevel: 'warn',
        schema: {
          ...shared,
          operationId: 'getLiveness',
          summary: 'Whether the process answers at all',
          description:
            'For the supervisor of the process: it answers as long as the process does, whatever the ' +
            'database does.',
          response: { 200: ref(Liveness), ...problems(invalidRequest) },
        },
      },
      async () => ({ status: 'ok' as const }),
    )

    let latest: Promise<Readiness> | null = null
    let until = 0
    app.get(
      '/health/ready',
      {
        config,
        schema: {
          ...shared,
          operationId: 'getReadiness',
          summary: 'Whether requests should be sent here',
          description:
            'For load balancers: looks at the database, the migrations and the queue, at most once a ' +
            'second. `draining` when the process is told to stop.',
          response: { 200: ref(Readiness), 503: ref(Readiness), ...problems(invalidRequest) },
        },
      },
      async (_request, reply) => {
        if (latest === null || Date.now() >= until) {
          until = Date.now() + READINESS_CACHE_MS
          latest = readiness(app)
        }
        const found = await latest
        const status = isRetiring ? 'draining' : found.status
        return reply.code(status === 'ready' ? 200 : 503).send({ ...found, status })
      },
    )
  },
  { name: 'health', dependencies: ['db', 'auth', 'sealed'] },
)

async function readiness(app: FastifyInstance): Promise<Readiness> {
  const { database, connections } = await checkDatabase(app)
  const unknown: HealthCheck = { status: 'failed', detail: 'Unknown while the database does not answer.' }
  const [migrations, transactions, background, secrets] =
    database.status === 'ok'
      ? await Promise.all([
          checkMigrations(app),
          checkTransactions(app),
          app.backgroundState(),
          app.sealedState(),
        ])
      : [unknown, unknown, null, unknown]
  const worker = background === null ? unknown : summaryOf(background)
  const checks = { database, migrations, transactions, worker, secrets, connections }
  const failed = Object.values(checks).some((check) => check.status === 'failed')
  return { status: failed ? 'not_ready' : 'ready', checks, background: background ?? {} }
}

/** Checks the database. Errors are logged, not told: the answer is public. */
async function checkDatabase(app: FastifyInstance): Promise<Record<'database' | 'connections', HealthCheck>> {
  const started = performance.now()
  try {
    const server = await withTimeout(readServerState(app.pools.api), DATABASE_TIMEOUT_MS)
    const connections = checkConnections(app, server)
    if (server?.read_only === true) {
      app.log.warn('readiness: the database only reads: a standby, or default_transaction_read_only')
      return { database: { status: 'failed', detail: 'It takes no writes.' }, connections }
    }
    if (app.databaseRefusal.isSuspected && !(await takesWrites(app))) {
      return { database: { status: 'failed', detail: 'It takes no writes.' }, connections }
    }
    const detail = `Answered within ${Math.ceil(performance.now() - started)} ms.`
    return { database: { status: 'ok', detail }, connections }
  } catch (error) {
    app.log.warn({ err: error }, 'readiness: the database does not answer')
    const detail = `Did not answer within ${DATABASE_TIMEOUT_MS} ms or refused.`
    return { database: { status: 'failed', detail }, connections: checkConnections(app, undefined) }
  }
}

/** Tried only after a request was refused, until it succeeds. */
async function takesWrites(app: FastifyInstance): Promise<boolean> {
  try {
    await withTimeout(probeWrite(app.pools.api), DATABASE_TIMEOUT_MS)
  } catch (error) {
    app.log.warn({ err: error }, 'readiness: the database refuses a write')
    // Without an answer in time it is as good as refused.
    if (isPassing(error) || error instanceof TimeoutError) return false
  }
  app.databaseRefusal.isSuspected = false
  return true
}

/** Counts this process's connections, and with `server` those of all its clients. */
function checkConnections(
  { pools: { api, worker } }: FastifyInstance,
  server: ServerConnections | undefined,
): HealthCheck {
  const own =
    `This process holds ${api.totalCount} of at most ${api.options.max} connections for requests and ` +
    `${worker.totalCount} of at most ${worker.options.max} for work in the background, and one that listens.`
  if (server === undefined) return { status: 'ok', detail: own }
  const { used, most } = server
  const all = `The server has ${used} of ${most}.`
  return used >= most * CONNECTIONS_WARNING_SHARE
    ? { status: 'warning', detail: `${all} Raise max_connections, or have fewer processes. ${own}` }
    : { status: 'ok', detail: `${own} ${all}` }
}

async function checkMigrations(app: FastifyInstance): Promise<HealthCheck> {
  try {
    const { state, detail } = await withTimeout(
      migrationStatus(app.db as unknown as Kysely<unknown>),
      DATABASE_TIMEOUT_MS,
    )
    if (state === 'unreachable') return { status: 'failed', detail: 'The database went away meanwhile.' }
    const status = state === 'current' ? 'ok' : state === 'extended' ? 'warning' : 'failed'
    return { status, detail: sentence(detail) }
  } catch (error) {
    app.log.warn({ err: error }, 'readiness: the migrations could not be read')
    return { status: 'failed', detail: 'The applied migrations could not be read.' }
  }
}

/** Only ever warns: requests are as well off here as elsewhere. */
async function checkTransactions(app: FastifyInstance): Promise<HealthCheck> {
  try {
    const { ofFeed, ofServer } = await app.openWriters()
    if (ofFeed !== null && ofFeed.seconds > OPEN_WRITER_WARNING_SECONDS) {
      return {
        status: 'warning',
        detail: `${openSince(ofFeed)} and wrote events: until it ends, flows, waits and the feed see nothing that came after it.`,
      }
    }
    if (ofServer !== null && ofServer.seconds > OPEN_WRITER_WARNING_SECONDS) {
      const detail = `${openSince(ofServer)}: until it ends, erasures wait and vacuum cannot clear up behind it.`
      return { status: 'warning', detail }
    }
    return {
      status: 'ok',
      detail: `No write transaction has been open for ${OPEN_WRITER_WARNING_SECONDS} s.`,
    }
  } catch (error) {
    app.log.warn({ err: error }, 'readiness: the open transactions could not be read')
    return { status: 'warning', detail: 'The open transactions could not be read in time.' }
  }
}

function openSince({ pid, application, since }: OpenWriter): string {
  const whose = pid === null ? 'A prepared transaction' : `A transaction of Postgres' process ${pid}`
  const named = application === '' ? '' : ` (application ${application})`
  return `${whose}${named} has been open since ${since.toISOString()}`
}

/** The worst of the background, with the names of all that is not well. */
function summaryOf(background: Readonly<Record<string, PartState>>): HealthCheck {
  const troubled = Object.entries(background).filter(([, { status }]) => status !== 'ok')
  if (troubled.length === 0)
    return { status: 'ok', detail: 'Nothing is stuck, and nothing waits for too long.' }
  const status = troubled.some(([, part]) => part.status === 'failed') ? 'failed' : 'warning'
  return { status, detail: troubled.map(([name, { detail }]) => `${name}: ${detail}`).join(' ') }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}
