import t from 'tap'
import { DAY_MS, outcomes, type Shop, startReceiver, startWorld } from '#test/modules/flow-engine/support.ts'
import { bodyOf, created, FLOWS } from '../support.ts'

const EXECUTIONS = 1_000
const world = await startWorld(t)

t.test('publishing while a thousand executions wait changes none of them', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const call = (path: string, number: string) => ({
    id: path.slice(1),
    type: 'http',
    method: 'POST',
    url: receiver.url + path,
    body: { number },
    on_success: 'end',
  })
  const definition = {
    name: 'Follow up',
    status: 'active',
    trigger: { type: 'event', event_types: ['order.created'] },
    variables: { edition: 'first' },
    steps: [
      {
        id: 'paid',
        type: 'wait_event',
        any: [{ event: 'order.paid', match: { number: '{{trigger.number}}' } }],
        timeout: '3 days',
        on_received: 'thank',
        on_timeout: 'remind',
      },
      call('/thank', '{{trigger.number}}'),
      call('/remind', '{{trigger.number}} {{variables.edition}}'),
    ],
  }
  const { id } = await created(shop.tenant, definition)
  await sendOrders(shop, 'order.created', EXECUTIONS)
  await shop.run()
  const before = await shop.executions(id)
  t.strictSame(new Set(outcomes(before)), new Set(['waiting/event']))
  t.equal(before.length, EXECUTIONS)
  const waits = await waitsOf(shop)

  // The second version has no such step, another variable, and ends before the first one would.
  const second = {
    ...definition,
    variables: { edition: 'second' },
    steps: [{ id: 'pause', type: 'delay', duration: '1 day' }, call('/second', '{{variables.edition}}')],
  }
  const url = `${FLOWS}/${id}`
  const replaced = await shop.tenant.put(url, second)
  t.equal(replaced.statusCode, 200, replaced.body)
  t.match(bodyOf(await shop.tenant.post(`${url}/publish`)), {
    published_version: 2,
    running_on_older_versions: EXECUTIONS,
    cancelled: 0,
  })
  t.strictSame(await shop.executions(id), before)
  t.strictSame(await waitsOf(shop), waits)

  await sendOrders(shop, 'order.created', 10)
  await shop.run()
  await sendOrders(shop, 'order.paid', 100)
  await shop.run()
  shop.pass(DAY_MS + 1_000)
  await shop.run()
  t.equal(receiver.received.filter(({ path }) => path === '/second').length, 10)
  t.strictSame(
    (await shop.executions(id)).filter(({ version, status }) => version === 1 && status === 'waiting').length,
    EXECUTIONS - 100,
    'the time of the second version is not theirs',
  )

  shop.pass(2 * DAY_MS)
  await shop.run()
  const after = await shop.executions(id)
  t.strictSame(new Set(outcomes(after)), new Set(['completed/done']))
  const told = (path: string) =>
    receiver.received
      .filter((each) => each.path === path)
      .map(({ body }) => (JSON.parse(body) as { number: unknown }).number)
  const numbers = Array.from({ length: EXECUTIONS }, (_, number) => number)
  t.strictSame(
    told('/thank')
      .map(Number)
      .sort((one, other) => one - other),
    numbers.slice(0, 100),
  )
  t.strictSame(new Set(told('/remind')), new Set(numbers.slice(100).map((number) => `${number} first`)))
  t.equal(receiver.received.length, EXECUTIONS + 10, 'each once')
})

/** Orders by number, from 0. */
async function sendOrders(shop: Shop, event: string, count: number): Promise<void> {
  const results = await world.app.events.accept(
    Array.from({ length: count }, (_, number) => ({
      tenantId: shop.tenant.id,
      event,
      data: { number },
      source: 'api' as const,
    })),
  )
  if (results.some(({ status }) => status !== 'accepted')) throw new Error('not stored')
}

function waitsOf(shop: Shop) {
  return shop.db
    .selectFrom('automation_waits')
    .selectAll()
    .where('tenant_id', '=', shop.tenant.id)
    .orderBy('execution_id')
    .execute()
}
