import { sql } from 'kysely'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import { startApp } from '#test/support/app.ts'

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
