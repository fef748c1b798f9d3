import { type Kysely, type Transaction } from 'kysely'
import type { FastifyBaseLogger } from 'fastify'
import type { DB } from '#db/schema.ts'
import type { EventScope, FlowScope } from '#lib/flow/scope.ts'
import type { EventTrigger } from '#lib/flow/types.ts'
import type { Verdict } from '#lib/async/fair-budget.ts'
import { isProblem } from '#lib/api/problem.ts'
import type { StepBudget } from '#lib/step-budget.ts'
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
  /** Those that a type may start. */
  byType: ReadonlyMap<string, readonly ActiveFlow[]>
}

const CACHE_MAX_TENANTS = 10_000

export class ActiveFlows {
  readonly #programs: ProgramCache
  readonly #log: FastifyBaseLogger
  readonly #cache = new Map<string, TenantFlows>()

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
    const fresh = { version, flows, byType: byEventType(flows) }
    if (this.#cache.size >= CACHE_MAX_TENANTS) this.#cache.clear()
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

function byEventType(flows: readonly ActiveFlow[]): Map<string, ActiveFlow[]> {
  const byType = new Map<string, ActiveFlow[]>()
  for (const flow of flows) {
    for (const type of new Set(flow.triggers.flatMap(({ event_types }) => event_types))) {
      const known = byType.get(type)
      if (known === undefined) byType.set(type, [flow])
      else known.push(flow)
    }
  }
  return byType
}

/** Of making what a trigger's filter starts from. */
const TRIGGER_STEPS = 5

/** Path lists by which executions of these flows will look for the events that cancel them. */
export function cancelShapes(flows: readonly ActiveFlow[]): { event: string; paths: string }[] {
  return flows.flatMap(({ program }) =>
    program.flow.settings.enrolment.cancel_on.map(({ event, match }) => ({ event, paths: joinPaths(match) })),
  )
}

/** Whether the event starts the flow; null: its filters cost more than the share. */
export function isTriggered(
  flow: ActiveFlow,
  event: EventScope,
  tenantId: string,
  now: Date,
  share: StepBudget,
): Verdict {
  const { program, id: flowId, version } = flow
  const scope = (): FlowScope =>
    startScope({ tenantId, flowId, version, program, data: event.data, event, now }, '')
  share.take(TRIGGER_STEPS)
  let isUndecided = false
  for (const trigger of flow.triggers) {
    const refusal = triggerRefusal(program, trigger, event, scope, now, share)
    if (refusal === null) return true
    if (refusal.reason === 'filter_budget') isUndecided = true
  }
  return isUndecided ? null : false
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
