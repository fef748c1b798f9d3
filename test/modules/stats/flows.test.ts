import t from 'tap'
import { flowOf, post, type Shop, startReceiver, startWorld } from '#test/modules/flow-engine/support.ts'
import { actionAt, dispatch, registerPlugin } from '#test/modules/dispatcher/support.ts'

const world = await startWorld(t)

interface Answer {
  series: {
    key: string
    label: string | null
    totals: Record<string, unknown>
    points: Record<string, unknown>[]
  }[]
}

async function read({ tenant }: Pick<Shop, 'tenant'>, query: string): Promise<Answer['series']> {
  const answer = await tenant.get(`/api/stats/${query}`)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json<Answer>().series
}

t.test('executions are counted by their end, their flow and their error', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(flowOf({ call: post(receiver, '/call', 'end') }))
  await shop.send('order.created', {})
  await shop.run()
  receiver.answer(500)
  await shop.send('order.created', {})
  await shop.run()
  const counts = { completed: 1, failed: 1, cancelled: 0, timed_out: 0, errors: { http_5xx: 1 } }
  const [all] = await read(shop, 'executions')
  t.match(all, { key: 'all', totals: counts })
  t.type(all?.totals['p95_ms'], 'number')
  t.match(await read(shop, 'executions?group=flow'), [{ key: flow, totals: counts }])
  const byError = await read(shop, 'executions?group=error')
  t.match(Object.fromEntries(byError.map(({ key, totals }) => [key, totals])), {
    http_5xx: { completed: 0, failed: 1 },
    none: { completed: 1, failed: 0 },
  })
  t.match(await read(shop, `executions?flow=${flow}`), [{ totals: counts }])
  t.strictSame(await read(shop, `executions?flow=${crypto.randomUUID()}`), [])
  t.strictSame(await read(await world.shop(), 'executions'), [])
})

t.test('actions are counted by their name, their plugin and their error', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  await registerPlugin(shop.tenant, receiver.url, 'mailer', [actionAt('greet'), actionAt('wave')])
  const run = (action: string) => dispatch(shop.tenant, [{ action_type: action, payload: {} }])
  await run('greet')
  receiver.answer(500)
  await run('wave')
  await world.app.statistics.flush()
  t.match(await read(shop, 'actions'), [{ totals: { succeeded: 1, failed: 1 } }])
  const byAction = await read(shop, 'actions?group=action&plugin=mailer')
  t.match(Object.fromEntries(byAction.map(({ key, totals }) => [key, totals])), {
    greet: { succeeded: 1, failed: 0 },
    wave: { succeeded: 0, failed: 1 },
  })
  t.match(await read(shop, 'actions?group=plugin&action=greet'), [
    { key: 'mailer', totals: { succeeded: 1 } },
  ])
  t.strictSame(await read(shop, 'actions?plugin=platform'), [])
})
