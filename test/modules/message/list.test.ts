import { sql } from 'kysely'
import t from 'tap'
import { listMessages } from '#modules/message/repository.ts'
import { runRetention } from '#modules/retention/index.ts'
import { newId } from '#lib/ids.ts'
import { startApp } from '#test/support/app.ts'
import { analyze, rowsRead } from '#test/support/plans.ts'

const service = await startApp(t)
const { db } = service

t.test('messages are narrowed by flow, recipient and time', async (t) => {
  const tenant = service.tenant()
  await tenant.patch('/api/tenant', { strict_events: false })
  const [flow, other] = [newId(), newId()]
  const made: string[] = []
  for (const [index, flowId] of [flow, flow, other].entries()) {
    const [execution, message] = [newId(), newId()]
    await sql`
      insert into automation_executions (tenant_id, id, flow_id, version, status, trigger_kind, trigger, state, expires_at)
      values (${tenant.id}, ${execution}, ${flowId}, 1, 'completed', 'manual', '{}', '{}', now())`.execute(db)
    await sql`
      insert into automation_messages (tenant_id, id, execution_id, step_id, channel, recipient, body, source)
      values (${tenant.id}, ${message}, ${execution}, 'mail', 'email', ${`to-${index % 2}`}, 'Hello', 'template')`.execute(
      db,
    )
    made.push(message)
  }
  const list = async (query: string) =>
    (await tenant.get(`/api/automation/messages?${query}`))
      .json<{ data: { id: string }[] }>()
      .data.map(({ id }) => made.indexOf(id))
  t.strictSame(await list(`flow=${flow}`), [1, 0])
  t.strictSame(await list(`flow=${other}`), [2])
  t.strictSame(await list('recipient=to-0'), [2, 0])
  t.strictSame(await list(`recipient=to-0&flow=${flow}`), [0])
  t.strictSame(await list('recipient=to'), [])
  t.strictSame(await list('until=2026-01-01T00:00:00Z'), [])
  t.strictSame(await list('until=2999-01-01T00:00:00Z'), [2, 1, 0])
  t.match((await tenant.get('/api/automation/messages?until=2026-02-31T00:00:00Z')).json(), {
    status: 400,
    errors: [{ pointer: '/querystring/until' }],
  })
})

t.test(
  'messages of a flow with many executions are found, also those from before they had a flow',
  async (t) => {
    const tenant = service.tenant()
    await tenant.patch('/api/tenant', { strict_events: false })
    const [flow, other] = [newId(), newId()]
    const count = 3_000
    await sql`
    with execution as (
      insert into automation_executions (tenant_id, id, flow_id, version, status, trigger_kind, trigger, state, expires_at)
      select ${tenant.id}, overlay(${newId()} placing lpad(to_hex(n), 12, '0') from 25)::uuid,
        case when n % 2 = 0 then ${flow}::uuid else ${other}::uuid end, 1, 'completed', 'manual', '{}', '{}', now()
      from generate_series(1, ${count}::int) n
      returning id, flow_id
    )
    insert into automation_messages (tenant_id, id, execution_id, step_id, channel, recipient, body, source)
    select ${tenant.id}, id, id, 'mail', 'email', 'ann', 'Hello', 'template' from execution
    -- Of the flow the very first alone has said something.
    where flow_id = ${other} or id = (select min(id::text)::uuid from execution where flow_id = ${flow})`.execute(
      db,
    )
    const list = async (): Promise<unknown[]> =>
      (await tenant.get(`/api/automation/messages?flow=${flow}`)).json<{ data: unknown[] }>().data
    const before = await list()
    t.equal(before.length, 1)
    const filled = await runRetention({ db, days: 90, bodyDays: 30, pauseMs: 0 })
    t.ok((filled?.messages_filled ?? 0) > count / 2, 'in more than one batch')
    t.strictSame(await list(), before)
    for (const table of ['automation_messages', 'automation_executions']) await analyze(db, table)
    const filter = { tenantId: tenant.id, flowId: flow, executionId: null, channel: null, recipient: null }
    const rows = await rowsRead(service.app.pools.api, (each) =>
      listMessages(each, { ...filter, since: null, until: null, beforeId: null, limit: 50 }),
    )
    t.strictSame(rows, [0, 1], 'no row is read that is not of it')
  },
)

t.test('a message is recorded with the flow of its execution', async (t) => {
  const tenant = service.tenant()
  const [flow, execution] = [newId(), newId()]
  await tenant.patch('/api/tenant', { strict_events: false })
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, status, trigger_kind, trigger, state, expires_at)
    values (${tenant.id}, ${execution}, ${flow}, 1, 'running', 'manual', '{}', '{}', now())`.execute(db)
  const key = { tenantId: tenant.id, executionId: execution, stepId: 'mail', iteration: '' }
  const draft = { channel: 'email' as const, to: 'ann', subject: null, body: 'Hello', ai: null }
  const { id } = await service.app.messages.compose(key, draft)
  const row = await db
    .selectFrom('automation_messages')
    .select('flow_id')
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  t.equal(row.flow_id, flow)
})
