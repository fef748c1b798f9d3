import t from 'tap'
import { feedSettled } from '#test/modules/event/support.ts'
import { type Shop, startReceiver, startWorld } from '../support.ts'

const world = await startWorld(t)
const receiver = await startReceiver(t)
t.beforeEach(() => void (receiver.received.length = 0))

const set = async (shop: Shop, name: string, value: unknown): Promise<void> => {
  const answer = await shop.tenant.put(`/api/variables/${name}`, { value })
  if (answer.statusCode >= 300) throw new Error(answer.body)
}

const TRIGGER = { type: 'event', event_types: ['order.created'] }
const TELL = { id: 'tell', type: 'http', url: `${receiver.url}/`, body: { to: '{{variables.support}}' } }

async function publish(shop: Shop, definition: object): Promise<string> {
  const answer = await shop.tenant.post('/api/automation/flows', {
    name: 'Tells',
    status: 'active',
    trigger: TRIGGER,
    steps: [TELL],
    ...definition,
  })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  return answer.json<{ id: string }>().id
}

const bodies = (): unknown[] => receiver.received.map(({ body }) => JSON.parse(body) as unknown)

t.test('a flow reads what the shop has when it starts', async (t) => {
  const shop = await world.shop()
  await set(shop, 'support', 'one@shop.example')
  await publish(shop, {})
  await shop.send('order.created', {})
  await shop.run()
  await set(shop, 'support', { email: 'two@shop.example' })
  await shop.send('order.created', {})
  await shop.run()
  t.strictSame(bodies(), [{ to: 'one@shop.example' }, { to: { email: 'two@shop.example' } }])
})

t.test('a change is seen by every matcher, in filters and enrolment keys as well', async (t) => {
  const shop = await world.shop()
  await set(shop, 'limit', 100)
  await set(shop, 'support', 'a')
  const flow = await publish(shop, {
    trigger: { ...TRIGGER, filter: { field: 'total', operator: 'gte', value: '{{variables.limit}}' } },
    settings: { enrolment: { key: '{{variables.support}} {{trigger.id}}' } },
  })
  const matchers = [world.app.flowEngine.createMatcher(), world.app.flowEngine.createMatcher()]
  const match = async (matcher = matchers[0]): Promise<void> => {
    await feedSettled(world)
    while ((await matcher?.pass([shop.tenant.id], null)) === 'more' || (matcher?.behind.size ?? 0) > 0);
  }
  await shop.send('order.created', { id: 1, total: 150 })
  await match(matchers[0])
  await shop.send('order.created', { id: 2, total: 150 })
  await match(matchers[1])
  await set(shop, 'limit', 200)
  await set(shop, 'support', 'b')
  for (const [index, matcher] of matchers.entries()) {
    await shop.send('order.created', { id: 3 + index, total: 150 })
    await match(matcher)
    await shop.send('order.created', { id: 5 + index, total: 250 })
    await match(matcher)
  }
  t.strictSame(
    (await shop.executions(flow)).map(({ key }) => key),
    ['a 1', 'a 2', 'b 5', 'b 6'],
  )
  await shop.run()
})

t.test("a flow's own variable goes before the shop's, and one that it sets", async (t) => {
  const shop = await world.shop()
  await set(shop, 'support', 'of the shop')
  await publish(shop, { variables: { support: 'of the flow' } })
  const steps = [{ id: 'set', type: 'set', variables: { support: 'set' } }, TELL]
  await publish(shop, { steps })
  await shop.send('order.created', {})
  await shop.run()
  t.strictSame(
    bodies()
      .map((body) => (body as { to: string }).to)
      .sort(),
    ['of the flow', 'set'],
  )
})

t.test('what is under way keeps the value of its start, also if the call is repeated', async (t) => {
  const shop = await world.shop()
  await set(shop, 'support', 'one')
  await publish(shop, { steps: [{ id: 'wait', type: 'delay', duration: '1 hour' }, TELL] })
  await shop.send('order.created', {})
  await shop.run()
  await set(shop, 'support', 'two')
  receiver.answer(503)
  shop.pass(60 * 60_000)
  await shop.run()
  receiver.answer(204)
  shop.pass(60 * 60_000)
  await shop.run()
  t.strictSame(bodies(), [{ to: 'one' }, { to: 'one' }])
})

t.test('by hand, by a retry and in the test mode it has the value of now', async (t) => {
  const shop = await world.shop()
  await set(shop, 'support', 'one')
  const flow = await publish(shop, { triggers: [{ type: 'manual' }], trigger: undefined })
  const url = `/api/automation/flows/${flow}`
  receiver.answer(400)
  await shop.tenant.post(`${url}/run`, { input: {} })
  await shop.run()
  await set(shop, 'support', 'two')
  const tried = await shop.tenant.post(`${url}/test`, { data: {} })
  t.match(tried.json(), { variables: { support: 'two' }, steps: [{ input: { body: { to: 'two' } } }] })
  receiver.answer(204)
  const [failed] = await shop.executions(flow)
  t.equal((await shop.tenant.post(`/api/automation/executions/${failed?.id}/retry`, {})).statusCode, 201)
  await shop.run()
  t.strictSame(bodies(), [{ to: 'one' }, { to: 'two' }])
})

t.test('a name that nobody knows is an error, with what was meant', async (t) => {
  const shop = await world.shop()
  await set(shop, 'support', 'one')
  const steps = (body: string) => [{ ...TELL, body }]
  const check = async (body: string) => {
    const answer = await shop.tenant.post('/api/automation/flows/validate', {
      name: 'x',
      trigger: TRIGGER,
      steps: steps(body),
    })
    return answer.json<{ problems: object[] }>().problems
  }
  t.match(await check('{{variables.suport}}'), [{ code: 'unknown_variable', message: /"support"/ }])
  t.strictSame(await check('{{variables.support}}'), [])
  t.strictSame(await check('{{variables.later | default: "none"}}'), [])
  await publish(shop, { steps: steps('{{variables.later | default: "none"}}') })
  await shop.send('order.created', {})
  await shop.run()
  await set(shop, 'later', 'there')
  await shop.send('order.created', {})
  await shop.run()
  t.strictSame(
    receiver.received.map(({ body }) => body),
    ['none', 'there'],
  )
})
