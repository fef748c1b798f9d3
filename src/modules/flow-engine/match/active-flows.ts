import type { Transaction } from 'kysely'
import type { FastifyBaseLogger } from 'fastify'
import { LRUCache } from 'lru-cache'
import { readJson } from '#db/json.ts'
import type { DB } from '#db/schema.ts'
import type { EventScope, FlowScope } from '#lib/flow/scope.ts'
import {
  type CanonicalFlow,
  type EventTrigger,
  FLOW_SCHEMA_VERSION,
  OLDEST_FLOW_SCHEMA_VERSION,
} from '#lib/flow/types.ts'
import type { Verdict } from '#lib/async/fair-budget.ts'
import { isProblem } from '#lib/api/problem.ts'
import type { StepBudget } from '#lib/step-budget.ts'
import { selectValues } from '#modules/variable/index.ts'
import { flowOutdated } from '../errors.ts'
import { joinPaths } from '../wait/hash.ts'
import { Program, type ProgramCache } from '../run/program.ts'
import { startScope } from '../start/enqueue.ts'
import { triggerRefusal } from '../start/trigger.ts'
import { type ENTRY_MEMBERS, type PublishedRow, selectPublished } from './published-repository.ts'

export interface ActiveFlow {
  id: string
  version: number
  program: Program
  triggers: EventTrigger[]
  /** Why nothing starts it, though it is published; null: it is active. */
  off: 'paused' | 'not_active' | null
  /** Something that it does may cause events. */
  mayCause: boolean
}

/** The flows that events of a type start, and those that they would start if they were active. */
export interface Triggered {
  readonly on: ActiveFlow[]
  readonly off: ActiveFlow[]
}

/** The flows that a tenant has published, at one `flows_version`. */
export interface TenantFlows {
  version: number
  flows: ActiveFlow[]
  byType: ReadonlyMap<string, Triggered>
  /** Of the text that they were read from. */
  bytes: number
}

/** Of text; read, it takes several times as much. */
const CACHE_MAX_BYTES = 64 * 1024 * 1024
/** Of a tenant, beside the text of its flows. */
const TENANT_BYTES = 2_000

export class ActiveFlows {
  readonly #programs: ProgramCache
  readonly #log: FastifyBaseLogger
  readonly #cache: LRUCache<string, TenantFlows>

  constructor(programs: ProgramCache, log: FastifyBaseLogger, maxSize = CACHE_MAX_BYTES) {
    this.#programs = programs
    this.#log = log
    // One that is larger than all is kept alone.
    const sizeCalculation = ({ bytes }: TenantFlows): number => Math.min(maxSize, TENANT_BYTES + bytes)
    this.#cache = new LRUCache({ maxSize, sizeCalculation })
  }

  /** @throws `flow_newer`: only a newer release can tell what the tenant's events start */
  async get(trx: Transaction<DB>, tenantId: string, version: number): Promise<TenantFlows> {
    const known = this.#cache.get(tenantId)
    if (known?.version === version) return known
    const flows: ActiveFlow[] = []
    let bytes = 0
    for (const row of await selectPublished(trx, tenantId)) {
      const flow = await this.#load(trx, tenantId, row)
      if (flow === null) continue
      flows.push(flow)
      bytes += row.entry.length
    }
    await addShopVariables(trx, tenantId, flows)
    const fresh = { version, flows, byType: byEventType(flows), bytes }
    this.#cache.set(tenantId, fresh)
    return fresh
  }

  /** A flow that cannot be read starts nothing; the tenant's others do. */
  async #load(trx: Transaction<DB>, tenantId: string, row: PublishedRow): Promise<ActiveFlow | null> {
    const { id, version, name, entry } = row
    const stored = readJson(entry) as Pick<CanonicalFlow, (typeof ENTRY_MEMBERS)[number]>
    const schemaVersion: number = stored.schema_version
    const isKnown = schemaVersion >= OLDEST_FLOW_SCHEMA_VERSION && schemaVersion <= FLOW_SCHEMA_VERSION
    if (isKnown) return activeFlow(row, entryOf(stored, name))
    // What another release stored is the program cache's business.
    const program = await this.#programs.find(tenantId, id, version, trx).catch((error: unknown) => {
      if (!isProblem(error, flowOutdated)) throw error
      return error.title
    })
    if (program === null || typeof program === 'string') {
      const why = program ?? 'there is no such version'
      const told = { tenant_id: tenantId, flow_id: id, version, why }
      if (row.status === 'active') this.#log.error(told, 'an active flow cannot be read')
      return null
    }
    return activeFlow(row, entryOf(program.flow, name))
  }
}

/** Those that the flows read: whoever changes one raises the version by which they are kept. */
async function addShopVariables(
  trx: Transaction<DB>,
  tenantId: string,
  flows: readonly ActiveFlow[],
): Promise<void> {
  const names = new Set(flows.flatMap(({ program }) => program.flow.shop_variables ?? []))
  const values = await selectValues(trx, tenantId, [...names])
  for (const flow of flows) flow.program = flow.program.withShop(values)
}

function activeFlow(
  { id, version, status, may_cause: mayCause }: PublishedRow,
  program: Program,
): ActiveFlow {
  const triggers = program.flow.triggers.filter((trigger) => trigger.type === 'event')
  const off = status === 'active' ? null : status === 'paused' ? 'paused' : 'not_active'
  return { id, version, program, triggers, off, mayCause }
}

function entryOf(flow: Pick<CanonicalFlow, (typeof ENTRY_MEMBERS)[number]>, name: string): Program {
  const { schema_version, triggers, start, variables, settings } = flow
  // Null in what is stored without it.
  const shop_variables = flow.shop_variables ?? []
  const members = { schema_version, triggers, start, variables, shop_variables, settings }
  return new Program({ ...members, steps: {}, handlers: [], layout: {} }, name)
}

function byEventType(flows: readonly ActiveFlow[]): Map<string, Triggered> {
  const byType = new Map<string, Triggered>()
  for (const flow of flows) {
    for (const type of new Set(flow.triggers.flatMap(({ event_types }) => event_types))) {
      const { on, off } = byType.get(type) ?? { on: [], off: [] }
      if (flow.off === null) on.push(flow)
      else off.push(flow)
      byType.set(type, { on, off })
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

/**
 * Tells whether the event starts the flow; null: its filters cost more than the share. A text: it does not, because a filter
 * does not fit what came, which is to leave a trace.
 */
export function isTriggered(
  flow: ActiveFlow,
  { event, isOwn }: { event: EventScope; isOwn: boolean },
  { tenantId, zone, now }: { tenantId: string; zone: string; now: Date },
  share: StepBudget,
): Verdict | string {
  const { program, id: flowId, version } = flow
  const scope = (): FlowScope =>
    startScope({ tenantId, flowId, version, program, data: event.data, event, zone, now }, '')
  share.take(TRIGGER_STEPS)
  let isUndecided = false
  let mismatch: string | null = null
  for (const trigger of flow.triggers) {
    const refusal = triggerRefusal(program, trigger, event, isOwn, scope, now, share)
    if (refusal === null) return true
    if (refusal.reason === 'filter_budget') isUndecided = true
    if (refusal.isMismatch === true) mismatch ??= refusal.note
  }
  return isUndecided ? null : (mismatch ?? false)
}
