import t from 'tap'
import { flowOf, startReceiver, startWorld, step } from '../support.ts'

const world = await startWorld(t)

t.test('what comes by an event reaches no other path with the merchant’s credentials', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const call = step({
    type: 'http',
    config: {
      method: 'GET',
      url: `${receiver.url}/orders/{{trigger.id | url_encode}}?note={{trigger.note}}`,
      headers: { authorization: 'Bearer of-the-merchant' },
      body: null,
    },
    next: { success: 'end' },
    retry: { max_retries: 0, base_ms: 1_000, cap_ms: 1_000 },
  })
  const flow = await shop.publish(flowOf({ call }))
  const ids = ['../../admin', '..', '.', '', 'a/../../../admin', '..\\admin']
  for (const id of ids) await shop.send('order.created', { id, note: 'x' })
  await shop.run()
  t.equal(receiver.received.length, 0)
  for (const execution of await shop.executions(flow)) {
    t.match(execution, { status: 'failed', error: { step_id: 'call', code: 'template_error' } })
  }
  await shop.send('order.created', { id: 'a/b?all=1', note: '1&admin=1' })
  await shop.run()
  t.match(
    receiver.received.map(({ path }) => path),
    ['/orders/a%2Fb%3Fall%3D1?note=1%26admin%3D1'],
  )
})
