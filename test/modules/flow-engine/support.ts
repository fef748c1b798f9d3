import { type Kysely, sql } from 'kysely'
import type { Test } from 'tap'
import type { DB } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'
import type { CanonicalFlow, CanonicalStep, FlowSettings } from '#lib/flow/types.ts'
import type { Engine } from '#modules/flow-engine/run/engine.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import { startApp, type Tenant, type TestApp } from '#test/support/app.ts'
import { type Receiver, startReceiver } from '#test/support/receiver.ts'

export const MINUTE_MS = 60_000
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS

/** The default settings with the given ones over them. */
export function settings(given: {
  retry?: Partial<FlowSettings['retry']>
  lifetime_ms?: number
  enrolment?: Partial<FlowSettings['enrolment']>
}): FlowSettings {
  return {
    timeout_ms: 5_000,
    retry: { max_retries: 3, base_ms: 1_000, cap_ms: 15 * MINUTE_MS, ...given.retry },
    lifetime_ms: given.lifetime_ms ?? 366 * DAY_MS,
    enrolment: {
      key: null,
      while_active: 'allow',
      reenter_after_ms: null,
      cancel_on: [],
      ...given.enrolment,
    },
  }
}

/** A flow on `order.created` unless `rest` says otherwise; its first step is the first of `steps`. */
export function flowOf(
  steps: Record<string, CanonicalStep>,
  rest: Partial<Omit<CanonicalFlow, 'steps'>> = {},
): CanonicalFlow {
  return {
    schema_version: 1,
    triggers: [
      { id: 'trigger_1', type: 'event', event_types: ['order.created'], filter: null, plugin_id: null },
    ],
    start: Object.keys(steps)[0] ?? 'end',
    steps,
    handlers: Object.keys(steps).filter((id) => steps[id]?.handler === true),
    variables: {},
    settings: settings({}),
    layout: {},
    ...rest,
  }
}

type Partly<Step> = Step extends CanonicalStep
  ? Pick<Step, 'type' | 'config' | 'next'> & Partial<Omit<Step, 'type' | 'config' | 'next'>>
  : never

export function step(given: Partly<CanonicalStep>): CanonicalStep {
  return { name: null, retry: null, timeout_ms: null, handler: false, loop: null, ...given }
}

/** A step that sends `body` to the receiver's path. */
export function post(
  receiver: Receiver,
  path: string,
  to: string,
  rest: { body?: unknown; error?: string; retries?: number; loop?: string; handler?: boolean } = {},
): CanonicalStep {
  return step({
    type: 'http',
    config: { method: 'POST', url: `${receiver.url}${path}`, headers: {}, body: rest.body ?? null },
    next: { success: to, ...(rest.error !== undefined && { error: rest.error }) },
    retry: { max_retries: rest.retries ?? 0, base_ms: 1_000, cap_ms: 15 * MINUTE_MS },
    loop: rest.loop ?? null,
    handler: rest.handler ?? false,
  })
}

export function wait(duration_ms: number, to: string, loop: string | null = null): CanonicalStep {
  const config = { kind: 'duration' as const, duration: `${duration_ms} ms`, duration_ms }
  return step({ type: 'delay', config, next: { next: to }, loop })
}

export interface Shop {
  tenant: Tenant
  db: Kysely<DB>
  /** Publishes a flow, as a new version if `id` is given. @returns its id */
  publish(flow: CanonicalFlow, id?: string): Promise<string>
  /** An event of the platform. @returns its id */
  send(event: string, data: unknown): Promise<string>
  /** Matches what has come and runs all that is due, as of the shop's clock. */
  run(): Promise<void>
  match(): Promise<void>
  engine(): Engine
  /** Moves the clock on. */
  pass(ms: number): void
  /** Sets the clock, which goes on from there. */
  moveTo(time: string): void
  now(): Date
  executions(flowId?: string): Promise<Execution[]>
  steps(executionId: string): Promise<Step[]>
}

export type Execution = Awaited<ReturnType<typeof selectExecutions>>[number]
export type Step = Awaited<ReturnType<typeof selectSteps>>[number]

export interface World extends TestApp {
  shop(): Promise<Shop>
}

export async function startWorld(t: Test, env: Record<string, string> = {}): Promise<World> {
  const started = await startApp(t, { env })
  return { ...started, shop: () => openShop(started) }
}

export { startReceiver }

async function openShop({ app, db, ...rest }: TestApp): Promise<Shop> {
  const tenant = rest.tenant()
  await sql`insert into tenants (id) values (${tenant.id}) on conflict do nothing`.execute(db)
  let shiftMs = 0
  const now = (): Date => new Date(Date.now() + shiftMs)
  const engine = app.flowEngine.createEngine(now)
  const matcher = app.flowEngine.createMatcher()
  const match = async (): Promise<void> => {
    while ((await matcher.pass([tenant.id], now())) === 'more' || matcher.behind.size > 0);
  }
  return {
    tenant,
    db,
    match,
    now,
    engine: () => engine,
    pass: (ms) => void (shiftMs += ms),
    moveTo: (time) => void (shiftMs = Date.parse(time) - Date.now()),
    run: async () => {
      await feedSettled({ db })
      await match()
      await engine.drain()
    },
    publish: (flow, id) => publishFlow(db, tenant.id, flow, id),
    send: async (event, data) => {
      const response = await tenant.post('/api/events', { event, data })
      if (response.statusCode !== 202) throw new Error(response.body)
      return response.json<{ id: string }>().id
    },
    executions: (flowId) => selectExecutions(db, tenant.id, flowId),
    steps: (executionId) => selectSteps(db, executionId),
  }
}

export async function publishFlow(
  db: Kysely<DB>,
  tenantId: string,
  flow: CanonicalFlow,
  id = newId(),
): Promise<string> {
  const known = await db
    .selectFrom('automation_flows')
    .select('published_version')
    .where('id', '=', id)
    .executeTakeFirst()
  const version = (known?.published_version ?? 0) + 1
  const row = {
    tenant_id: tenantId,
    id,
    name: 'flow',
    definition: '{}',
    status: 'active' as const,
    published_version: version,
  }
  await db
    .insertInto('automation_flows')
    .values(row)
    .onConflict((conflict) =>
      conflict.columns(['tenant_id', 'id']).doUpdateSet({ published_version: version }),
    )
    .execute()
  await db
    .insertInto('automation_flow_versions')
    .values({ tenant_id: tenantId, flow_id: id, version, definition: '{}', flow: JSON.stringify(flow) })
    .execute()
  await sql`
    insert into flow_cursors (tenant_id, position, event_id)
    values (${tenantId}, feed_horizon() - 1, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    on conflict (tenant_id) do update set flows_version = flow_cursors.flows_version + 1`.execute(db)
  return id
}

function selectExecutions(db: Kysely<DB>, tenantId: string, flowId?: string) {
  let query = db.selectFrom('automation_executions').selectAll().where('tenant_id', '=', tenantId)
  if (flowId !== undefined) query = query.where('flow_id', '=', flowId)
  return query
    .orderBy(sql`coalesce(event_id, id)`)
    .orderBy('id')
    .execute()
}

function selectSteps(db: Kysely<DB>, executionId: string) {
  return db
    .selectFrom('automation_steps')
    .selectAll()
    .where('execution_id', '=', executionId)
    .orderBy('number')
    .execute()
}

/** Returns statuses with their reasons, in the order of the events. */
export function outcomes(executions: readonly Execution[]): string[] {
  return executions.map(({ status, reason }) => (reason === null ? status : `${status}/${reason}`))
}

/** Registers a plugin with the action `send_welcome_email`, which comes to `/hook`. @returns its id */
export async function registerMailer(shop: Shop, receiver: Receiver): Promise<string> {
  const body = { name: 'mailer', slug: 'mailer', webhook_url: `${receiver.url}/hook`, events: [] }
  const registered = await shop.tenant.post('/api/plugins', body)
  const action = {
    action_type: 'send_welcome_email',
    title: 'Send welcome mail',
    description: 'Sends the welcome mail',
    category: 'email',
    required_fields: ['to', 'template'],
  }
  const actions = await shop.tenant.post('/api/plugins/mailer/register-actions', { actions: [action] })
  if (registered.statusCode !== 201 || actions.statusCode !== 200) throw new Error(actions.body)
  return registered.json<{ id: string }>().id
}
