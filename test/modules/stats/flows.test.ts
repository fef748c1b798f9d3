import t from 'tap'
import { classOf, QUEUE_BORDERS } from '#lib/histogram.ts'
import {
  flowOf,
  HOUR_MS,
  post,
  type Shop,
  startReceiver,
  startWorld,
} from '#test/modules/flow-engine/support.ts'
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

t.test('how long executions had waited when they began is their queue age', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(flowOf({ call: post(receiver, '/call', 'end') }))
  const before = Date.now()
  await shop.send('order.created', {})
  await shop.match()
  shop.pass(HOUR_MS)
  await shop.run()
  const atMost = HOUR_MS + Date.now() - before
  const rows = await shop.db
    .selectFrom('execution_stats')
    .select('queue_age')
    .where('flow_id', '=', flow)
    .where('span', '=', 60)
    .execute()
  const [age, ...more] = rows.flatMap(({ queue_age: ages }) =>
    ages.flatMap((count, index) => (count > 0 ? [index] : [])),
  )
  t.ok(age !== undefined && age >= classOf(QUEUE_BORDERS, HOUR_MS - 1_000), String(age))
  t.ok(age !== undefined && age <= classOf(QUEUE_BORDERS, atMost), String(age))
  t.strictSame(more, [])
  const [one] = await read(shop, `executions?flow=${flow}`)
  t.ok(Number(one?.totals['queue_age_p99_ms']) > HOUR_MS / 2.5)
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
