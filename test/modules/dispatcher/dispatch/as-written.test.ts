import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { actionAt, json, registerPlugin, startPlugin } from '../support.ts'

const service = await startApp(t)
const WRITTEN = '{"price":1.10,"zero":-0,"big":9007199254740993,"10":1,"9":2,"text":"\\u00e9 \\/"}'

t.test('a payload reaches the plugin and the log as it was written', async (t) => {
  const plugin = await startPlugin(t, { '/note': json(200, {}) })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'notes', [actionAt('note')])
  const answer = await shop.post(
    '/api/plugins/events/automation',
    `{"events":[{"payload":${WRITTEN},"action_type":"note"}]}`,
  )
  t.match(answer.json(), { results: [{ success: true }] })
  const body = plugin.calls('/note')[0]?.body ?? ''
  t.ok(body.includes(`,"payload":${WRITTEN}`), body)
  t.match(JSON.parse(body), { price: 1.1, action_type: 'note' })

  const log = await shop.get('/api/automation/event-log')
  t.ok(log.body.includes(`"payload":${WRITTEN}`), log.body)
  const { id } = log.json<{ data: [{ id: string }] }>().data[0]
  const entry = await shop.get(`/api/automation/event-log/${id}`)
  t.ok(entry.body.includes(`"payload":${WRITTEN}`), entry.body)
})

t.test('a payload with a secret is logged without it', async (t) => {
  const plugin = await startPlugin(t, { '/note': json(200, {}) })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'notes', [actionAt('note')])
  await shop.post(
    '/api/plugins/events/automation',
    '{"events":[{"payload":{"9":1.10,"password":"hunter2"},"action_type":"note"}]}',
  )
  const log = await shop.get('/api/automation/event-log')
  t.ok(log.body.includes('"payload":{"9":1.10,"password":"[redacted]"}'), log.body)
})

t.test('the platform gets a payload as it was written', async (t) => {
  const receiver = await startReceiver(t)
  const shop = service.tenant()
  t.equal((await shop.put('/api/tenant/platform', { url: receiver.url })).statusCode, 200)
  await shop.post(
    '/api/plugins/events/automation',
    `{"events":[{"payload":{"title":"t",${WRITTEN.slice(1)},"action_type":"create_task"}]}`,
  )
  t.match(receiver.received, [{ body: `{"title":"t",${WRITTEN.slice(1)}` }])
})
