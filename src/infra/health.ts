import fp from 'fastify-plugin'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import type { Kysely } from 'kysely'
import { migrationStatus } from '#db/migrate.ts'
import { problems, ref, StringEnum } from '#lib/api/schema.ts'
import type { PartState } from './background.ts'
import { withTimeout } from './queue-state.ts'
import { invalidRequest } from './http/problems.ts'

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
      worker: ref(HealthCheck),
      secrets: ref(HealthCheck),
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
    /** Aborted as soon as the process is told to stop: readiness ends and workers take nothing new. */
    draining: AbortSignal
    /** Begins that. Idempotent. */
    drain(): void
  }
  interface FastifyContextConfig {
    /** Served by every process, whatever its roles, and never shed: health and metrics. */
    operation?: boolean
  }
}

/** However often somebody asks, the database is looked at this often. */
const READINESS_CACHE_MS = 1_000
const DATABASE_TIMEOUT_MS = 1_000

export default fp(
  async (app) => {
    const stop = new AbortController()
    app.decorate('draining', stop.signal)
    app.decorate('drain', () => stop.abort())
    app.addHook('preClose', async () => stop.abort())
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
        const status = stop.signal.aborted ? 'draining' : found.status
        return reply.code(status === 'ready' ? 200 : 503).send({ ...found, status })
      },
    )
  },
  { name: 'health', dependencies: ['db', 'auth', 'sealed'] },
)

async function readiness(app: FastifyInstance): Promise<Readiness> {
  const database = await checkDatabase(app)
  const unknown: HealthCheck = { status: 'failed', detail: 'Unknown while the database does not answer.' }
  const [migrations, background, secrets] =
    database.status === 'ok'
      ? await Promise.all([checkMigrations(app), app.backgroundState(), app.sealedState()])
      : [unknown, null, unknown]
  const worker = background === null ? unknown : summaryOf(background)
  const checks = { database, migrations, worker, secrets }
  const failed = Object.values(checks).some((check) => check.status === 'failed')
  return { status: failed ? 'not_ready' : 'ready', checks, background: background ?? {} }
}

/** What went wrong is logged, not told: the answer is public. */
async function checkDatabase(app: FastifyInstance): Promise<HealthCheck> {
  const started = performance.now()
  try {
    await withTimeout(app.pools.api.query('select 1'), DATABASE_TIMEOUT_MS)
    return { status: 'ok', detail: `Answered within ${Math.ceil(performance.now() - started)} ms.` }
  } catch (error) {
    app.log.warn({ err: error }, 'readiness: the database does not answer')
    return { status: 'failed', detail: `Did not answer within ${DATABASE_TIMEOUT_MS} ms or refused.` }
  }
}

async function checkMigrations(app: FastifyInstance): Promise<HealthCheck> {
  try {
    const { state, detail } = await withTimeout(
      migrationStatus(app.db as unknown as Kysely<unknown>),
      DATABASE_TIMEOUT_MS,
    )
    if (state === 'unreachable') return { status: 'failed', detail: 'The database went away meanwhile.' }
    return { status: state === 'current' ? 'ok' : 'failed', detail: sentence(detail) }
  } catch (error) {
    app.log.warn({ err: error }, 'readiness: the migrations could not be read')
    return { status: 'failed', detail: 'The applied migrations could not be read.' }
  }
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
