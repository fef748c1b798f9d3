import type { FastifyBaseLogger } from 'fastify'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '../../../db/schema.ts'
import type { Signals } from '../../infra/signals.ts'
import type { EventScope } from '../../lib/flow/scope.ts'
import type { EventTrigger } from '../../lib/flow/types.ts'
import { lowestIdAt } from '../../lib/id-range.ts'
import type { PassResult } from '../../lib/job-loop.ts'
import { type EventRow, scanFeed, selectEvents } from '../event/index.ts'
import { test } from './evaluate.ts'
import { hashOfEvent } from './match-hash.ts'
import type { Program, ProgramCache } from './program.ts'
import { cancelExecutions, isSimpleStart, startExecution, startSimple, type StartRequest } from './starts.ts'
import { meetsFilter, type StoredFilter, toEventScope } from './waits.ts'

export interface MatcherContext {
  db: Kysely<DB>
  programs: ProgramCache
  signals: Signals
  log: FastifyBaseLogger
  /** Executions that one flow may start in a minute. */
  maxStartsPerMinute: number
}

interface ActiveFlow {
  id: string
  version: number
  program: Program
  triggers: EventTrigger[]
}

interface TenantFlows {
  version: number
  flows: ActiveFlow[]
  /** Path lists that waits have, by event type. */
}

/** Events matched in one transaction. */
const BATCH_EVENTS = 500
/** Tenants that one look at all cursors finds. */
const LOOK_TENANTS = 100
const CACHE_MAX_TENANTS = 10_000

/**
 * Reads tenants' event feeds and lets events start, wake and cancel executions. For each tenant there is one cursor;
 * whoever holds its row writes what a batch of events causes and moves it on, in one transaction: every event is
 * matched once, and a crash repeats nothing. The feed is gap-free (see the event module), so nothing is missed.
 */
export class Matcher {
  readonly #ctx: MatcherContext
  readonly #cache = new Map<string, TenantFlows>()

  constructor(ctx: MatcherContext) {
    this.#ctx = ctx
  }

  /** Matches what has come for these tenants; none named: for all that have something new. */
  async pass(tenantIds: readonly string[], now: Date | null): Promise<PassResult> {
    const tenants = tenantIds.length > 0 ? tenantIds : await findBehind(this.#ctx.db)
    let more = tenants.length === LOOK_TENANTS
    for (const tenantId of tenants) {
      const matched = await this.#ctx.db.transaction().execute((trx) => this.#match(trx, tenantId, now))
      if (matched === 0) continue
      this.#ctx.signals.publish('executions_due', [tenantId])
      if (matched === BATCH_EVENTS) more = true
    }
    return more ? 'more' : 'idle'
  }

  /** @returns how many events were gone through */
  async #match(trx: Transaction<DB>, tenantId: string, now: Date | null): Promise<number> {
    const cursor = await trx
      .selectFrom('flow_cursors')
      .select([sql<string>`position::text`.as('position'), 'event_id', 'flows_version', 'halted_at'])
      .where('tenant_id', '=', tenantId)
      .forUpdate()
      .skipLocked()
      .executeTakeFirst()
    if (cursor === undefined) return 0
    const after = { position: cursor.position, id: cursor.event_id }
    const { events: scanned } = await scanFeed(trx, tenantId, after, BATCH_EVENTS)
    const last = scanned.at(-1)
    if (last === undefined) return 0
    if (cursor.halted_at === null) {
      const flows = await this.#flowsOf(trx, tenantId, cursor.flows_version)
      const shapes = await loadShapes(trx, tenantId)
      const wanted = new Set([
        ...flows.flows.flatMap(({ triggers }) => triggers.flatMap(({ event_types }) => event_types)),
        ...shapes.keys(),
      ])
      const ids = scanned.filter(({ event, size }) => wanted.has(event) && size !== null).map(({ id }) => id)
      const rows = await selectEvents(trx, tenantId, ids)
      await this.#apply(trx, tenantId, flows.flows, shapes, rows, now ?? new Date())
    }
    await sql`update flow_cursors set position = ${last.position}::bigint, event_id = ${last.id}
      where tenant_id = ${tenantId}`.execute(trx)
    return scanned.length
  }

  async #apply(
    trx: Transaction<DB>,
    tenantId: string,
    flows: readonly ActiveFlow[],
    shapes: ReadonlyMap<string, readonly string[]>,
    rows: readonly EventRow[],
    now: Date,
  ): Promise<void> {
    const started = new Map<string, number>()
    let simple: StartRequest[] = []
    const flush = async (): Promise<void> => {
      await startSimple(trx, simple)
      simple = []
    }
    for (const row of rows) {
      const event = toEventScope(row)
      const paths = shapes.get(event.type)
      if (paths !== undefined) {
        // What an event of this batch started may be what this one cancels.
        await flush()
        await receive(trx, tenantId, event, paths, now)
      }
      for (const flow of flows) {
        if (!flow.triggers.some((trigger) => isTriggered(trigger, flow, event, tenantId, now))) continue
        const count =
          started.get(flow.id) ?? (await countRecent(trx, tenantId, flow.id, this.#ctx.maxStartsPerMinute))
        started.set(flow.id, count + 1)
        const request: StartRequest = {
          tenantId,
          flowId: flow.id,
          version: flow.version,
          program: flow.program,
          kind: 'event',
          data: event.data,
          event,
          causationDepth: row.causation_depth,
          capReached: count >= this.#ctx.maxStartsPerMinute,
          now,
        }
        if (isSimpleStart(request)) simple.push(request)
        else await startExecution(trx, request)
      }
    }
    await flush()
    await countTriggered(trx, tenantId, started)
  }

  async #flowsOf(trx: Transaction<DB>, tenantId: string, version: number): Promise<TenantFlows> {
    const known = this.#cache.get(tenantId)
    if (known?.version === version) return known
    const rows = await trx
      .selectFrom('automation_flows')
      .select(['id', 'published_version'])
      .where('tenant_id', '=', tenantId)
      .where('status', '=', 'active')
      .where('deleted_at', 'is', null)
      .where('published_version', 'is not', null)
      .execute()
    const flows: ActiveFlow[] = []
    for (const { id, published_version } of rows) {
      const program = await this.#ctx.programs.get(tenantId, id, published_version as number)
      const triggers = program.flow.triggers.filter((trigger) => trigger.type === 'event')
      flows.push({ id, version: published_version as number, program, triggers })
    }
    if (this.#cache.size >= CACHE_MAX_TENANTS) this.#cache.clear()
    const fresh = { version, flows }
    this.#cache.set(tenantId, fresh)
    return fresh
  }
}

function isTriggered(
  trigger: EventTrigger,
  flow: ActiveFlow,
  event: EventScope,
  tenantId: string,
  now: Date,
): boolean {
  if (!trigger.event_types.includes(event.type)) return false
  if (trigger.plugin_id !== null && trigger.plugin_id !== event.source) return false
  if (trigger.filter === null) return true
  const scope = {
    trigger: event.data,
    event,
    steps: {},
    variables: flow.program.flow.variables,
    tenant: { id: tenantId },
    execution: {
      id: '',
      flow_id: flow.id,
      flow_name: flow.program.flowName,
      version: flow.version,
      started_at: now.toISOString(),
      error: null,
    },
  }
  return test(flow.program, trigger.filter, scope, now).result
}

/** Tenants whose feed has gone on: one probe of the feed's index for each tenant with flows. */
async function findBehind(db: Kysely<DB>): Promise<string[]> {
  const { rows } = await sql<{ tenant_id: string }>`
    select tenant_id from flow_cursors c
    where exists (
      select from events e where e.tenant_id = c.tenant_id and (e.position, e.id) > (c.position, c.event_id)
        and e.position < feed_horizon()
    )
    limit ${sql.lit(LOOK_TENANTS)}`.execute(db)
  return rows.map((row) => row.tenant_id)
}

async function loadShapes(trx: Transaction<DB>, tenantId: string): Promise<Map<string, string[]>> {
  const rows = await trx
    .selectFrom('automation_wait_shapes')
    .select(['event', 'paths'])
    .where('tenant_id', '=', tenantId)
    .execute()
  const shapes = new Map<string, string[]>()
  for (const { event, paths } of rows) shapes.set(event, [...(shapes.get(event) ?? []), paths])
  return shapes
}

/** Hands an event to those who wait for it, and ends what is to be cancelled by it. */
async function receive(
  trx: Transaction<DB>,
  tenantId: string,
  event: EventScope,
  pathLists: readonly string[],
  now: Date,
): Promise<void> {
  const hashes = pathLists
    .map((paths) => hashOfEvent(event.type, paths, event.data))
    .filter((hash) => hash !== null)
  if (hashes.length === 0) return
  const waits = await trx
    .selectFrom('automation_waits')
    .select(['execution_id', 'purpose', 'iteration', 'alternative', 'filter'])
    .where('tenant_id', '=', tenantId)
    .where('event', '=', event.type)
    .where('match_hash', 'in', hashes)
    .where('received_event_id', 'is', null)
    .execute()
  const met = waits.filter((wait) => meetsFilter(wait.filter as StoredFilter | null, event, now))
  const cancelled = new Set(met.filter((wait) => wait.purpose === 'cancel').map((wait) => wait.execution_id))
  await cancelExecutions(trx, tenantId, [...cancelled], 'cancel_on')
  for (const wait of met) {
    if (wait.purpose === 'cancel' || cancelled.has(wait.execution_id)) continue
    await sql`
      with marked as (
        update automation_waits set received_event_id = ${event.id}
        where tenant_id = ${tenantId} and execution_id = ${wait.execution_id} and purpose = 'resume'
          and iteration = ${wait.iteration} and alternative = ${wait.alternative}
          and not exists (
            select from automation_waits w where w.execution_id = ${wait.execution_id} and w.purpose = 'resume'
              and w.iteration = ${wait.iteration} and w.received_event_id is not null)
        returning execution_id
      )
      update automation_executions e
      set received = e.received + 1,
          due_at = case when e.status = 'waiting' then coalesce(${now}::timestamptz, now()) else e.due_at end
      from marked where e.tenant_id = ${tenantId} and e.id = marked.execution_id`.execute(trx)
  }
}

async function countRecent(
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
  most: number,
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from (
      select from automation_executions
      where tenant_id = ${tenantId} and flow_id = ${flowId} and id >= ${lowestIdAt(Date.now() - 60_000)}
      limit ${most}
    ) recent`.execute(trx)
  return rows[0]?.count ?? 0
}

async function countTriggered(
  trx: Transaction<DB>,
  tenantId: string,
  started: ReadonlyMap<string, number>,
): Promise<void> {
  for (const flowId of started.keys()) {
    await trx
      .updateTable('automation_flows')
      .set((eb) => ({ times_triggered: eb('times_triggered', '+', 1), last_triggered_at: sql<Date>`now()` }))
      .where('tenant_id', '=', tenantId)
      .where('id', '=', flowId)
      .execute()
  }
}
