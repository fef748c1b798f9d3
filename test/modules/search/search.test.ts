import { sql } from 'kysely'
import t from 'tap'
import type { SearchResult } from '#modules/search/schemas.ts'
import { search as findAll } from '#modules/search/service.ts'
import { newId } from '#lib/ids.ts'
import { pluginKey, subscribe } from '#test/modules/event/support.ts'
import { flowActionShop, invocationsOf, readLog, startPlugin } from '#test/modules/dispatcher/support.ts'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'

const service = await startApp(t)
const { app, db } = service

const search = async (tenant: Tenant, q: string): Promise<SearchResult> => {
  const answer = await tenant.get(`/api/search?q=${encodeURIComponent(q)}`)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json<SearchResult>()
}
const paths = ({ data }: SearchResult) => data.map(({ path }) => path)

t.test('each thing is found by what it is called, in its shop alone', async (t) => {
  const tenant = service.tenant()
  const plugin = await subscribe(service, tenant.id, ['*'], 'mail-pro')
  const other = await subscribe(service, tenant.id, ['*'], 'mailing')
  const { id: event } = (
    await tenant.post('/api/events', { id: 'order-17', event: 'shop.opened', data: {} })
  ).json<{ id: string }>()
  await tenant.put('/api/event-types/shop.opened', { description: 'x' })
  const { id: flow } = (
    await tenant.post('/api/automation/flows', {
      name: 'Mail the customer',
      triggers: [{ type: 'manual' }],
      steps: [{ id: 'task', type: 'action', action_type: 'create_task', input: { title: 'x' } }],
    })
  ).json<{ id: string }>()
  const [execution, message] = [newId(), newId()]
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, status, key, trigger_kind, trigger, state, expires_at)
    values (${tenant.id}, ${execution}, ${flow}, 1, 'failed', 'order-17', 'manual', '{}', '{}', now())`.execute(
    db,
  )
  await sql`
    insert into automation_messages (tenant_id, id, execution_id, step_id, channel, recipient, subject, body, source)
    values (${tenant.id}, ${message}, ${execution}, 'mail', 'email', 'ada@example.com', 'Hello', 'Hello', 'template')`.execute(
    db,
  )
  const { data: deliveries } = (await tenant.get('/api/plugins/events')).json<{
    data: { id: string; plugin: string }[]
  }>()
  const delivery = deliveries.find((each) => each.plugin === plugin.slug)?.id ?? ''

  t.strictSame(paths(await search(tenant, 'MAIL')), [
    '/plugins/mail-pro',
    '/plugins/mailing',
    `/flows/${flow}`,
  ])
  t.strictSame(paths(await search(tenant, 'mail-pro')), ['/plugins/mail-pro'])
  t.strictSame(paths(await search(tenant, ' order-1 ')), [`/events/${event}`, `/runs/${execution}`])
  t.match((await search(tenant, 'order-17')).data, [
    { kind: 'event', id: event, title: 'shop.opened order-17' },
    { kind: 'execution', id: execution, title: 'Mail the customer order-17' },
  ])
  t.strictSame(paths(await search(tenant, 'shop.o')), ['/catalogue/shop.opened'])
  t.strictSame(paths(await search(tenant, 'product.cr')), ['/catalogue/product.created'])
  t.strictSame(paths(await search(tenant, 'ada@example.com')), [`/messages/${message}`])
  for (const [id, path] of [
    [event, `/events/${event}`],
    [flow.toUpperCase(), `/flows/${flow}`],
    [execution, `/runs/${execution}`],
    [message, `/messages/${message}`],
    [delivery, `/deliveries/${delivery}`],
    [plugin.id, '/plugins/mail-pro'],
  ] as const) {
    t.strictSame(paths(await search(tenant, id)), [path], path)
  }
  const dispatched = await tenant.post('/api/plugins/events/automation', {
    events: [{ action_type: 'create_task', payload: { title: 'x' } }],
  })
  const [result] = dispatched.json<{ results: { invocation_id: string }[] }>().results
  const listed = async (path: string) =>
    (await tenant.get(path)).json<{ data: { id: string }[] }>().data[0]?.id ?? ''
  const call = await listed('/api/automation/event-log')
  t.strictSame(paths(await search(tenant, call)), [`/calls/${call}`])
  t.strictSame(paths(await search(tenant, result?.invocation_id ?? '')), [`/calls/${call}`])
  t.strictSame(paths(await search(service.tenant(), call)), [])
  const entry = await listed('/api/audit-log')
  t.strictSame(paths(await search(tenant, entry)), [`/audit/${entry}`])
  t.strictSame(paths(await search(service.tenant(), entry)), [])
  const viewing = await tenant.post('/api/keys', { name: 'viewer', kind: 'tenant', role: 'viewer' })
  const viewer = clientFor(app, tenant.id, viewing.json<{ key: string }>().key)
  t.strictSame(paths(await search(viewer, entry)), [], 'the audit log is for admins')
  t.strictSame(paths(await search(viewer, call)), [`/calls/${call}`])
  t.strictSame(await search(tenant, '%'), { data: [], complete: true })
  t.strictSame(paths(await search(service.tenant(), 'order-17')), [])

  const own = clientFor(app, tenant.id, await pluginKey(service, tenant.id, plugin))
  t.strictSame(paths(await search(own, 'mail')), ['/plugins/mail-pro'])
  t.strictSame(paths(await search(own, 'order-17')), [])
  t.strictSame(paths(await search(own, delivery)), [`/deliveries/${delivery}`])
  const theirs = deliveries.find((each) => each.plugin === other.slug)?.id ?? ''
  t.strictSame(paths(await search(own, theirs)), [])
})

t.test("a flow's call is found by its invocation, of which the log alone tells", async (t) => {
  const plugin = await startPlugin(t)
  const { shop, run } = await flowActionShop(service, plugin.url)
  const { invocationId } = await run()
  const [call] = await readLog(shop)
  t.strictSame(await invocationsOf(service, shop), [])
  t.strictSame(paths(await search(shop, invocationId ?? '')), [`/calls/${call?.id ?? ''}`])
  t.strictSame(paths(await search(service.tenant(), invocationId ?? '')), [])
})

t.test('many hits are cut, and said to be', async (t) => {
  const tenant = service.tenant()
  for (let n = 0; n < 7; n++) await subscribe(service, tenant.id, [], `shop-${n}`)
  const { data, complete } = await search(tenant, 'shop-')
  t.equal(data.length, 5)
  t.equal(complete, false)
  for (const q of ['', '%20', 'x'.repeat(256)])
    t.equal((await tenant.get(`/api/search?q=${q}`)).statusCode, 400, q)
  t.equal((await tenant.get('/api/search')).statusCode, 400)
})

t.test('all that is looked for has one time together, and an answer says when it was over', async (t) => {
  const tenant = service.tenant()
  await subscribe(service, tenant.id, [], 'shop-1')
  const timeMs = 200
  const end = performance.now() + timeMs
  const statements: string[] = []
  const slow = db.withPlugin({
    transformQuery: ({ node, queryId }) => {
      statements.push(db.getExecutor().compileQuery(node, queryId).sql)
      return node
    },
    transformResult: async ({ result }) => {
      if (statements.at(-1)?.includes('from plugins') === true)
        await eventually('the time is over', () => performance.now() > end + 1)
      return result
    },
  })
  const context = { db: slow, timeMs }
  const by = { pluginId: null, role: 'viewer' } as const
  t.match(await findAll(context, tenant.id, by, 'shop-'), { complete: false })
  t.equal(statements.filter((each) => each.includes('automation_')).length, 0)
})
