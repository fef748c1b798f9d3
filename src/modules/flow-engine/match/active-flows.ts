import { type Kysely, type Transaction } from 'kysely'
import type { FastifyBaseLogger } from 'fastify'
import { LRUCache } from 'lru-cache'
import type { DB } from '#db/schema.ts'
import type { EventScope, FlowScope } from '#lib/flow/scope.ts'
import type { EventTrigger } from '#lib/flow/types.ts'
import { isProblem } from '#lib/api/problem.ts'
import { flowOutdated } from '../errors.ts'
import { joinPaths } from '../wait/hash.ts'
import type { Program, ProgramCache } from '../run/program.ts'
import { startScope } from '../start/starts.ts'
import { triggerRefusal } from '../start/trigger.ts'

export interface ActiveFlow {
  id: string
  version: number
  program: Program
  triggers: EventTrigger[]
}

/** What a tenant has active, at one `flows_version`. */
export interface TenantFlows {
  version: number
  flows: ActiveFlow[]
  /** The types that start one of them. */
  eventTypes: ReadonlySet<string>
}

/** Of all tenants together. A flow's program may be in the program cache, too: it is held once. */
const CACHE_MAX_BYTES = 128 * 1024 * 1024
const TENANT_BYTES = 500

export class ActiveFlows {
  readonly #programs: ProgramCache
  readonly #log: FastifyBaseLogger
  readonly #cache = new LRUCache<string, TenantFlows>({
    maxSize: CACHE_MAX_BYTES,
    sizeCalculation: ({ flows }) =>
      Math.min(CACHE_MAX_BYTES, TENANT_BYTES + flows.reduce((sum, { program }) => sum + program.bytes, 0)),
  })

  constructor(programs: ProgramCache, log: FastifyBaseLogger) {
    this.#programs = programs
    this.#log = log
  }

  /** @throws `flow_newer`: only a newer release can tell what the tenant's events start */
  async get(trx: Transaction<DB>, tenantId: string, version: number): Promise<TenantFlows> {
    const known = this.#cache.get(tenantId)
    if (known?.version === version) return known
    const flows: ActiveFlow[] = []
    for (const { id, published_version } of await selectActive(trx, tenantId)) {
      const flow = await this.#load(trx, tenantId, id, published_version as number)
      if (flow !== null) flows.push(flow)
    }
    const types = flows.flatMap(({ triggers }) => triggers.flatMap(({ event_types }) => event_types))
    const fresh = { version, flows, eventTypes: new Set(types) }
    this.#cache.set(tenantId, fresh)
    return fresh
  }

  /** A flow that cannot be read starts nothing; the tenant's others do. */
  async #load(
    trx: Transaction<DB>,
    tenantId: string,
    id: string,
    version: number,
  ): Promise<ActiveFlow | null> {
    const program = await this.#programs.find(tenantId, id, version, trx).catch((error: unknown) => {
      if (!isProblem(error, flowOutdated)) throw error
      return error.title
    })
    if (program === null || typeof program === 'string') {
      const why = program ?? 'there is no such version'
      this.#log.error({ tenant_id: tenantId, flow_id: id, version, why }, 'an active flow cannot be read')
      return null
    }
    const triggers = program.flow.triggers.filter((trigger) => trigger.type === 'event')
    return { id, version, program, triggers }
  }
}

/** Path lists by which executions of these flows will look for the events that cancel them. */
export function cancelShapes(flows: readonly ActiveFlow[]): { event: string; paths: string }[] {
  return flows.flatMap(({ program }) =>
    program.flow.settings.enrolment.cancel_on.map(({ event, match }) => ({ event, paths: joinPaths(match) })),
  )
}

export function isTriggered(flow: ActiveFlow, event: EventScope, tenantId: string, now: Date): boolean {
  const { program, id: flowId, version } = flow
  const scope = (): FlowScope =>
    startScope({ tenantId, flowId, version, program, data: event.data, event, now }, '')
  return flow.triggers.some((trigger) => triggerRefusal(program, trigger, event, scope, now) === null)
}

async function selectActive(db: Kysely<DB>, tenantId: string) {
  return db
    .selectFrom('automation_flows')
    .select(['id', 'published_version'])
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'active')
    .where('deleted_at', 'is', null)
    .where('published_version', 'is not', null)
    .orderBy('id')
    .execute()
}
