import t, { type Test } from 'tap'
import { startWireProxy, type WireProxy } from '#test/fault/sweep/wire-proxy.ts'
import { startApp } from '#test/support/app.ts'
import { actionAt, dispatch, flowActionShop, json, readLog, registerPlugin, startPlugin } from './support.ts'

// A statement was done and its answer is lost: it is sent again, and what it writes must stand there once.
let proxy: WireProxy | null = null
const service = await startApp(t, {
  through: async (url) => {
    proxy = await startWireProxy(t, url, () => undefined)
    return proxy.url
  },
})

/** Has the next statement that writes this and that lose its answer. @returns a promise of that moment */
function lose(t: Test, ...parts: readonly string[]): Promise<void> {
  const statement = [...(proxy?.statements.keys() ?? [])].find((shape) =>
    parts.every((part) => shape.includes(part)),
  )
  t.ok(statement, `a statement with ${parts.join(', ')} has come before`)
  return (
    proxy?.arm({ kind: 'drop', point: 'after', statement: statement ?? '' }) ?? Promise.reject(new Error())
  )
}

const RECORD = ['update action_invocations', 'insert into automation_event_log', 'complete_seconds']
const ACCEPT = ['insert into action_invocations', 'insert into automation_event_log', 'on conflict']

t.test('of a dispatched action', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'worker', [actionAt('work')])
  const ask = (key: string) =>
    dispatch(shop, [{ action_type: 'work', payload: {}, event_key: key }], { flow_execution_id: 'one' })
  await ask('first')
  const lost = lose(t, ...RECORD)
  t.match(await ask('second'), { results: [{ success: true, status: 'succeeded', attempts: 1 }] })
  await lost
  t.match(await ask('second'), { results: [{ success: true, replayed: true, attempts: 1 }] })
  t.strictSame(
    (await readLog(shop)).map(({ event_key: key, status, error_code: code }) => ({ key, status, code })),
    [
      { key: 'second', status: 'succeeded', code: null },
      { key: 'first', status: 'succeeded', code: null },
    ],
    'one entry for each',
  )
  t.equal(plugin.calls('/work').length, 2, 'called once for each')
})

t.test("of a flow's action", async (t) => {
  const plugin = await startPlugin(t)
  const { shop, run } = await flowActionShop(service, plugin.url)
  t.match(await run(), { success: true, status: 'succeeded' })
  const lost = lose(t, ...RECORD)
  t.match(await run({ eventKey: 'step_2' }), { success: true, status: 'succeeded', attempts: 1 })
  await lost
  t.strictSame(
    (await readLog(shop)).map(({ event_key: key }) => key),
    ['step_2', 'step_1'],
  )
  t.equal(plugin.calls('/work').length, 2)
})

t.test("of a flow's action that is accepted for later", async (t) => {
  const plugin = await startPlugin(t, { '/work': json(202, {}) })
  const { shop, run } = await flowActionShop(service, plugin.url)
  t.match(await run(), { success: true, status: 'accepted' })
  const lost = lose(t, ...ACCEPT)
  t.match(await run({ eventKey: 'step_2' }), { success: true, status: 'accepted', attempts: 1 })
  await lost
  const rows = await service.db
    .selectFrom('action_invocations')
    .select(['event_key', 'status', 'attempts'])
    .where('tenant_id', '=', shop.id)
    .orderBy('event_key')
    .execute()
  t.strictSame(
    rows,
    [
      { event_key: 'step_1', status: 'accepted', attempts: 1 },
      { event_key: 'step_2', status: 'accepted', attempts: 1 },
    ],
    'its one call is counted once',
  )
  t.strictSame(
    (await readLog(shop)).map(({ event_key: key }) => key),
    ['step_2', 'step_1'],
  )
})
