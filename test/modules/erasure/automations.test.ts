import { sql } from 'kysely'
import t from 'tap'
import type { Erasure } from '#modules/erasure/schemas.ts'
import { type ErasureWorkerContext, runErasureTurn } from '#modules/erasure/worker.ts'
import { lowestIdAt } from '#lib/id-range.ts'
import { newId } from '#lib/ids.ts'
import {
  DAY_MS,
  flowOf,
  post,
  settings,
  type Shop,
  startReceiver,
  startWorld,
  wait,
} from '#test/modules/flow-engine/support.ts'

const world = await startWorld(t)
const { app, db } = world
const receiver = await startReceiver(t)
const JANE = 'jane@example.com'
const JOE = 'joe@example.com'
const TABLES = [
  'events',
  'automation_executions',
  'automation_steps',
  'automation_waits',
  'automation_messages',
  'automation_event_log',
  'action_invocations',
]

const worker: ErasureWorkerContext = {
  db: app.workerDb,
  secretBox: app.secretBox,
  leaseMs: 30_000,
  batchSize: 3,
}

/** Tells of the customer at once. */
const telling = flowOf({
  tell: post(receiver, '/crm', 'end', { body: { to: '{{trigger.customer.email}}', name: 'of a customer' } }),
})
/** Has the customer wait for a day. */
const patient = flowOf(
  { pause: wait(DAY_MS, 'tell'), tell: post(receiver, '/crm', 'end') },
  { settings: settings({ enrolment: { key: '{{trigger.customer.email}}' } }) },
)

async function erase(shop: Shop, value: string): Promise<Erasure> {
  const created = await shop.tenant.post('/api/erasures', { path: 'customer.email', value })
  t.equal(created.statusCode, 202, created.body)
  return created.json<Erasure>()
}

async function read(shop: Shop, { id }: Erasure): Promise<Erasure> {
  return (await shop.tenant.get(`/api/erasures/${id}`)).json<Erasure>()
}

async function until(shop: Shop, erasure: Erasure, isSo: () => Promise<boolean>): Promise<Erasure> {
  while (!(await isSo())) await runErasureTurn(worker)
  return read(shop, erasure)
}

async function completed(shop: Shop, erasure: Erasure): Promise<Erasure> {
  return until(shop, erasure, async () => (await read(shop, erasure)).status === 'completed')
}

/** Tables in which the text stands in a row of the shop. */
async function tablesWith(shop: Shop, text: string): Promise<string[]> {
  const found = await Promise.all(
    TABLES.map(async (table) => {
      const { rows } = await sql`
        select from ${sql.table(table)} r
        where tenant_id = ${shop.tenant.id} and position(${text}::text in row_to_json(r)::text) > 0`.execute(
        db,
      )
      return rows.length > 0 ? [table] : []
    }),
  )
  return found.flat()
}

async function seedMessage(shop: Shop, recipient: string): Promise<void> {
  await db
    .insertInto('automation_messages')
    .values({
      tenant_id: shop.tenant.id,
      id: newId(),
      execution_id: newId(),
      step_id: 'mail',
      channel: 'email',
      recipient,
      body: `Dear ${recipient}`,
      source: 'template',
    })
    .execute()
}

t.test("one customer's data goes out of automations, their logs and their messages", async (t) => {
  const shop = await world.shop()
  const [tells, waits] = [await shop.publish(telling), await shop.publish(patient)]
  for (const email of [JANE, JOE]) {
    await shop.send('order.created', { customer: { email } })
    await shop.tenant.post('/api/plugins/events/automation', {
      events: [{ action_type: 'no_such_action', payload: { customer: { email } } }],
    })
    await seedMessage(shop, email)
  }
  await shop.run()
  // What the other side answered to an attempt may name somebody.
  await sql`
    update automation_steps set attempt_log = jsonb_build_array(jsonb_build_object('message', ${JANE}::text))
    where tenant_id = ${shop.tenant.id} and input::text like ${`%${JANE}%`}`.execute(db)
  const holding = [
    'events',
    'automation_executions',
    'automation_steps',
    'automation_messages',
    'automation_event_log',
  ]
  t.strictSame(await tablesWith(shop, JANE), holding)

  t.match(await completed(shop, await erase(shop, JANE)), { erased: 5 })
  t.strictSame(await tablesWith(shop, JANE), [])
  t.strictSame(await tablesWith(shop, JOE), holding, 'another customer stays')

  const [told] = await shop.executions(tells)
  t.match(told, { status: 'completed', body_gone: 'erased', trigger: { data: null, event: null } })
  t.match(await shop.steps(told?.id ?? ''), [{ status: 'succeeded', input: null, output: null }])
  t.match(await shop.executions(waits), [
    { status: 'cancelled', reason: 'erased', key: null, body_gone: 'erased' },
    { status: 'waiting', reason: 'delay', key: JOE, body_gone: null },
  ])
  t.match(
    await db.transaction().execute((trx) =>
      app.flowEngine.retry(trx, {
        tenantId: shop.tenant.id,
        executionId: told?.id ?? '',
        from: { at: 'start' },
        version: 'same',
        once: false,
      }),
    ),
    { reason: 'outputs_missing', missing: ['trigger'] },
    'and cannot be done again without it',
  )
})

t.test('what is under way ends at its next boundary, and is emptied then', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(patient)
  await shop.send('order.created', { customer: { email: JANE } })
  await shop.run()
  const [execution] = await shop.executions(flow)
  const id = execution?.id ?? ''
  const change = (set: { status: 'running' | 'cancelled' }) =>
    db
      .updateTable('automation_executions')
      .set({ ...set, due_at: null })
      .where('id', '=', id)
      .execute()
  await change({ status: 'running' })

  const erasure = await erase(shop, JANE)
  const asked = await until(
    shop,
    erasure,
    async () => (await shop.executions(flow))[0]?.cancel_reason === 'erased',
  )
  t.equal(asked.status, 'running')
  t.match(await shop.executions(flow), [{ status: 'running', body_gone: null }])
  await change({ status: 'cancelled' })
  await db.updateTable('erasures').set({ lease_until: null }).where('id', '=', erasure.id).execute()
  await completed(shop, erasure)
  t.strictSame(await tablesWith(shop, JANE), [])
})

t.test('numbers are compared as numbers, and only where the path leads', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(patient)
  const send = (customer: string): Promise<unknown> =>
    shop.tenant.post('/api/events', `{"event":"order.created","data":{"customer":${customer}}}`)
  for (const id of ['42.0', '"42"', '43', '1e400'])
    await send(`{"id":${id},"email":"${id.length}@example.com"}`)
  await shop.run()
  const created = await shop.tenant.post('/api/erasures', { path: 'customer.id', value: 42 })
  await completed(shop, created.json<Erasure>())
  const executions = await shop.executions(flow)
  t.strictSame(
    executions.map(({ body_gone }) => body_gone),
    ['erased', null, null, null],
  )
})

t.test('what is done again while the erasure is at work is found, too', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(telling)
  await shop.send('order.created', { customer: { email: JANE } })
  await shop.run()
  const [told] = await shop.executions(flow)
  const id = lowestIdAt(Date.now() - 2 * DAY_MS)
  await sql`update automation_executions set id = ${id} where id = ${told?.id}`.execute(db)
  await sql`update automation_steps set execution_id = ${id} where execution_id = ${told?.id}`.execute(db)

  const erasure = await erase(shop, JANE)
  const row = () =>
    db.selectFrom('erasures').select('phase').where('id', '=', erasure.id).executeTakeFirstOrThrow()
  await until(shop, erasure, async () => (await row()).phase === 'executions')
  const began = new Date(Date.now() - DAY_MS)
  await db.updateTable('erasures').set({ phase_started_at: began }).where('id', '=', erasure.id).execute()
  const retried = await shop.tenant.post(`/api/automation/executions/${id}/retry`, { from: 'start' })
  t.equal(retried.statusCode, 201, retried.body)
  await completed(shop, erasure)
  t.strictSame(await tablesWith(shop, JANE), [])
})
