import t from 'tap'
import type { ExecutionStatus } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'
import { type RetentionContext, type RetentionCounts, runRetention } from '#modules/retention/index.ts'
import { createMemory } from '#modules/retention/run.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { hoursAgo, idAt, seedPlugin } from '#test/modules/replay/support.ts'

const { db } = await createTestDatabase(t)
const ctx: RetentionContext = { db, days: 90, bodyDays: 30, pauseMs: 0 }
/** Each test lives before those that ran before it, so that it ages out what is its own only. */
let year = 2090
const nextNow = (): Date => new Date(Date.UTC(year--, 5, 15))
const daysBefore = (now: Date, days: number): Date => hoursAgo(days * 24, now)

async function run(now: Date, context = ctx): Promise<Partial<RetentionCounts>> {
  const counts = await runRetention(context, { now })
  if (counts === null) throw new Error('somebody else holds the lock')
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))
}

async function newTenant(): Promise<string> {
  const id = newId()
  await seedPlugin(db, id)
  return id
}

interface Seed {
  at: Date
  finishedAt?: Date | null
  status?: ExecutionStatus
  flowId?: string
  version?: number
}

/** An execution with two steps and a message. */
async function seedExecution(tenant_id: string, { at, finishedAt = at, ...rest }: Seed): Promise<string> {
  const id = idAt(at)
  const flowId = rest.flowId ?? newId()
  await db
    .insertInto('automation_executions')
    .values({
      tenant_id,
      id,
      flow_id: flowId,
      version: rest.version ?? 1,
      status: rest.status ?? 'completed',
      trigger_kind: 'manual',
      trigger: JSON.stringify({ data: { email: 'jane@example.com' }, event: null }),
      state: '{"main":{}}',
      expires_at: at,
      created_at: at,
      finished_at: finishedAt,
    })
    .execute()
  for (const number of [0, 1]) {
    await db
      .insertInto('automation_steps')
      .values({
        tenant_id,
        execution_id: id,
        number,
        step_id: `step_${number}`,
        type: 'action',
        status: 'succeeded',
        input: '{"to":"jane@example.com"}',
        output: '{"id":1}',
        started_at: at,
        duration_ms: 1,
      })
      .execute()
  }
  const text = { recipient: 'jane@example.com', subject: 'Hello', body: 'Dear Jane' }
  await db
    .insertInto('automation_messages')
    .values({
      tenant_id,
      id: idAt(at),
      execution_id: id,
      flow_id: flowId,
      step_id: 'm',
      channel: 'email',
      source: 'template',
      ...text,
    })
    .execute()
  return id
}

const ofTenant = (table: 'automation_executions' | 'automation_steps' | 'automation_messages', id: string) =>
  db.selectFrom(table).selectAll().where('tenant_id', '=', id).execute()

t.test(
  'executions are emptied after their days, and go with their steps and messages after theirs',
  async (t) => {
    const now = nextNow()
    const tenantId = await newTenant()
    const seed = (days: number) => seedExecution(tenantId, { at: daysBefore(now, days) })
    const [, old, young] = [await seed(90.01), await seed(30.01), await seed(29.99)]

    t.strictSame(await run(now), { executions: 1, records_emptied: 1 })
    const executions = await ofTenant('automation_executions', tenantId)
    const byId = new Map(executions.map((row) => [row['id'], row as Record<string, unknown>]))
    t.equal(byId.size, 2)
    t.match(byId.get(old), { body_gone: 'expired', trigger: { data: null, event: null }, state: {} })
    t.match(byId.get(young), { body_gone: null, trigger: { data: { email: 'jane@example.com' } } })
    const steps = (await ofTenant('automation_steps', tenantId)) as { execution_id: string; input: unknown }[]
    t.strictSame(
      steps.map(({ execution_id, input }) => [execution_id, input !== null]).sort(),
      [old, old, young, young].map((id) => [id, id === young]).sort(),
    )
    const messages = (await ofTenant('automation_messages', tenantId)) as {
      body: string
      recipient: unknown
    }[]
    t.strictSame(messages.map(({ body, recipient }) => [body, recipient]).sort(), [
      ['', null],
      ['Dear Jane', 'jane@example.com'],
    ])
    t.strictSame(await run(now), {}, 'nothing is done twice')
  },
)

t.test('what waits stays whole, however old; once it has ended its days begin', async (t) => {
  const now = nextNow()
  const tenantId = await newTenant()
  const memory = createMemory()
  const id = await seedExecution(tenantId, { at: daysBefore(now, 200), finishedAt: null, status: 'waiting' })
  t.strictSame(await run(now, { ...ctx, memory }), {})
  await db
    .updateTable('automation_executions')
    .set({ status: 'completed', finished_at: daysBefore(now, 31) })
    .where('id', '=', id)
    .execute()
  const later = (hours: number) => hoursAgo(-hours, now)
  t.strictSame(
    await run(later(1), { ...ctx, memory }),
    {},
    'it was passed over, and is not walked again at once',
  )
  t.strictSame(await run(later(25), { ...ctx, memory }), { records_emptied: 1 })
  t.strictSame(await run(later(60 * 24), { ...ctx, memory }), { executions: 1 })
  t.strictSame(await ofTenant('automation_steps', tenantId), [])
})

t.test('actions and their log are emptied and go by their own days', async (t) => {
  const now = nextNow()
  const tenant_id = await newTenant()
  for (const days of [91, 31, 29]) {
    const at = daysBefore(now, days)
    const common = { tenant_id, flow_execution_id: newId(), event_key: '#0', action_type: 'send_email' }
    await db
      .insertInto('action_invocations')
      .values({
        ...common,
        id: idAt(at),
        fingerprint: Buffer.alloc(32),
        status: 'succeeded',
        data: '{"id":1}',
        created_at: at,
        finished_at: at,
      })
      .execute()
    await db
      .insertInto('automation_event_log')
      .values({
        ...common,
        id: idAt(at),
        payload: '{"to":"jane@example.com"}',
        result: '{"id":1}',
        success: true,
        status: 'succeeded',
        attempts: 1,
        duration_ms: 1,
        created_at: at,
      })
      .execute()
  }
  await db
    .insertInto('action_invocations')
    .values({
      tenant_id,
      id: idAt(daysBefore(now, 100)),
      flow_execution_id: newId(),
      event_key: '#0',
      action_type: 'send_email',
      fingerprint: Buffer.alloc(32),
      status: 'accepted',
      created_at: daysBefore(now, 100),
    })
    .execute()

  t.strictSame(await run(now), { log_entries: 1, invocations: 1, records_emptied: 2 })
  const log = await db
    .selectFrom('automation_event_log')
    .selectAll()
    .where('tenant_id', '=', tenant_id)
    .execute()
  t.strictSame(
    log.map(({ payload, result }) => [payload, result]),
    [
      [null, null],
      [{ to: 'jane@example.com' }, { id: 1 }],
    ],
  )
  const actions = await db
    .selectFrom('action_invocations')
    .select(['status', 'data'])
    .where('tenant_id', '=', tenant_id)
    .orderBy('id')
    .execute()
  t.strictSame(actions, [
    { status: 'accepted', data: null },
    { status: 'succeeded', data: null },
    { status: 'succeeded', data: { id: 1 } },
  ])
})

t.test('versions that nothing refers to go, and deleted flows with theirs', async (t) => {
  const now = nextNow()
  const tenant_id = await newTenant()
  const seedFlow = async (published_version: number, deletedDays: number | null): Promise<string> => {
    const id = newId()
    const deleted_at = deletedDays === null ? null : daysBefore(now, deletedDays)
    await db
      .insertInto('automation_flows')
      .values({ tenant_id, id, name: 'flow', definition: '{}', published_version, deleted_at })
      .execute()
    for (const [index, days] of [300, 200, 100, 10, 5].entries()) {
      const created_at = daysBefore(now, days)
      await db
        .insertInto('automation_flow_versions')
        .values({ tenant_id, flow_id: id, version: index + 1, definition: '{}', flow: '{}', created_at })
        .execute()
    }
    return id
  }
  const kept = await seedFlow(4, null)
  await seedExecution(tenant_id, { at: daysBefore(now, 5), flowId: kept, version: 1 })
  await seedFlow(5, 91)
  const recent = await seedFlow(5, 89)
  const run1 = await seedFlow(5, 91)
  await seedExecution(tenant_id, { at: daysBefore(now, 5), flowId: run1, version: 5 })

  t.strictSame(await run(now), { flows: 1, flow_versions: 1 + 2 + 2 })
  const versions = await db
    .selectFrom('automation_flow_versions')
    .select(['flow_id', 'version'])
    .where('tenant_id', '=', tenant_id)
    .orderBy('version')
    .execute()
  const of = (id: string) => versions.filter(({ flow_id }) => flow_id === id).map(({ version }) => version)
  t.strictSame(of(kept), [1, 3, 4, 5], 'one that was run, the one of its days, the published one, the newest')
  t.strictSame(
    [of(recent), of(run1)],
    [
      [3, 4, 5],
      [3, 4, 5],
    ],
  )
})

t.test('enrolments that no rule asks for any more go, others stay', async (t) => {
  const now = Date.now()
  const tenant_id = await newTenant()
  const row = (days: number | null) => ({
    tenant_id,
    flow_id: newId(),
    key_hash: Buffer.from('x'),
    execution_id: newId(),
    enrolled_at: new Date(now),
    expires_at: days === null ? null : new Date(now + days * 86_400_000),
  })
  const never = row(-1)
  const flow = JSON.stringify({ settings: { enrolment: { reenter_never: true } } })
  await db
    .insertInto('automation_flows')
    .values({
      tenant_id,
      id: never.flow_id,
      name: 'Once',
      status: 'active',
      published_version: 1,
      definition: '{}',
    })
    .execute()
  await db
    .insertInto('automation_flow_versions')
    .values({ tenant_id, flow_id: never.flow_id, version: 1, definition: '{}', flow })
    .execute()
  await db
    .insertInto('automation_enrolments')
    .values([row(-1), row(1), row(null), never])
    .execute()
  t.match(await run(new Date(now)), { enrolments: 1 })
  const left = await db
    .selectFrom('automation_enrolments')
    .select(['flow_id', 'expires_at'])
    .where('tenant_id', '=', tenant_id)
    .execute()
  t.equal(left.length, 3)
  const kept = left.find(({ flow_id }) => flow_id === never.flow_id)
  t.equal(kept?.expires_at, null, 'of a rule that was made `never` later')
})
