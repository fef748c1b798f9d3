import t from 'tap'
import { flowOf, post, startReceiver } from '#test/modules/flow-engine/support.ts'
import { deliverDue, registerPlugin, sendEvents } from '#test/support/deliveries.ts'
import { startPlatformWorld } from './support.ts'

const platform = await startPlatformWorld(t)
const { world } = platform

t.test('somebody of the shop gets a mail when a plugin fails, once', async (t) => {
  const shop = await platform.open()
  await shop.install('plugin_trouble', { to: 'owner@shop.example' })
  const receiver = await startReceiver(t)
  receiver.answer(404)
  const plugin = await registerPlugin(shop.tenant, receiver.url, { slug: 'mailer', name: 'Mailer' })
  await sendEvents(shop.tenant, 6)
  await deliverDue(world, shop.tenant)
  await shop.settle()
  await deliverDue(world, shop.tenant)
  await shop.settle()
  t.match(await shop.sent(), [
    {
      channel: 'email',
      recipient: 'owner@shop.example',
      subject: 'Trouble with the plugin mailer',
      body: /^mailer has failed to take \d+ deliveries in a row: http_4xx, status 404\.\n\nGET \/api\/plugins\/events\//,
    },
  ])
  receiver.answer(410)
  await sendEvents(shop.tenant, 1)
  await deliverDue(world, shop.tenant)
  await shop.settle()
  t.match((await shop.sent()).slice(1), [
    { body: /^mailer is disabled: it answered 410 to product\.created\./ },
  ])
  t.match((await shop.tenant.get(`/api/plugins/${plugin.slug}`)).json(), { status: 'disabled' })
})

t.test('and when a flow keeps failing; without an address it is a notification', async (t) => {
  const shop = await platform.open()
  await shop.install('flow_trouble', { to: 'owner@shop.example' })
  await shop.install('flow_trouble', { subject: 'Look after {{trigger.flow}}' })
  const receiver = await startReceiver(t)
  receiver.answer(404)
  await shop.publish(flowOf({ call: post(receiver, '/', 'end') }))
  for (let n = 0; n < 6; n++) {
    await shop.send('order.created', { order_id: n })
    await shop.run()
  }
  await shop.settle()
  const sent = await shop.sent()
  t.equal(sent.length, 2)
  t.match(
    sent.find(({ channel }) => channel === 'email'),
    {
      recipient: 'owner@shop.example',
      subject: 'Trouble with flow',
      body: /^5 of the last 5 runs of flow have failed: .*\n\nGET \/api\/automation\/executions\//,
    },
  )
  t.ok(sent.some((each) => each.channel !== 'email' && JSON.stringify(each).includes('Look after flow')))
})
