import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { deliverDue, registerPlugin } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const WRITTEN = '{"price":1.10,"zero":-0,"big":9007199254740993,"10":1,"9":2,"text":"\\u00e9 \\/"}'

t.test('data arrive as they were written, by every way in', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  await registerPlugin(tenant, receiver.url, { events: ['*'] })
  const ce = { 'content-type': 'application/cloudevents+json' }
  const head = '"specversion":"1.0","type":"a.b","source":"/s"'
  const requests: [string, string, Record<string, string>][] = [
    ['/api/events', `{"event":"a.b","data":${WRITTEN}}`, {}],
    ['/api/events', `{"events":[{"event":"a.b","data":${WRITTEN}},{"data":${WRITTEN},"event":"a.b"}]}`, {}],
    [
      '/api/events',
      `{"events":[{"event":"a.b","data":{"t":"\\ud83e"}},{"event":"a.b","data":${WRITTEN}}]}`,
      {},
    ],
    ['/api/events', `{${head},"id":"1","data":${WRITTEN}}`, ce],
    [
      '/api/events',
      `[{${head},"id":"2","data":${WRITTEN}}]`,
      { 'content-type': 'application/cloudevents-batch+json' },
    ],
    [
      '/api/events',
      ` ${WRITTEN}\n`,
      { 'ce-specversion': '1.0', 'ce-type': 'a.b', 'ce-source': '/s', 'ce-id': '3' },
    ],
    ['/plugins/automation/webhook', `{"payload":${WRITTEN},"event_type":"a.b","more":1}`, {}],
  ]
  for (const [url, body, headers] of requests) {
    const response = await tenant.post(url, body, { 'content-type': 'application/json', ...headers })
    t.equal(response.statusCode, 202, response.body)
  }
  await deliverDue(service, tenant)
  t.equal(receiver.received.length, 8)
  for (const { body } of receiver.received) {
    t.ok(body.includes(`,"data":${WRITTEN}`), body)
    t.ok(/[}]$/.test(body) && JSON.parse(body))
  }
})

t.test('what is written otherwise is the same event, and is stored on one line', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  await registerPlugin(tenant, receiver.url, { events: ['*'] })
  const first = await tenant.post(
    '/api/events',
    '{"event":"a.b","id":"1","data":{\n  "a": 1.0,\n  "b": "x y"\n}}',
  )
  const again = await tenant.post('/api/events', '{"event":"a.b","id":"1","data":{"b":"x y","a":1}}')
  t.match(again.json(), { id: first.json<{ id: string }>().id, duplicate: true })
  await deliverDue(service, tenant)
  t.match(receiver.received, [{ body: /,"data":\{"a": 1\.0,"b": "x y"\}\}$/ }])
})

t.test(
  'data are shown as they were written, by the feed, the event and the page of a thin plugin',
  async (t) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    await registerPlugin(tenant, receiver.url, { events: [{ event: '*', payload: 'thin' }] })
    const ce = { 'content-type': 'application/cloudevents+json' }
    const cloudEvent = `{"specversion":"1.0","type":"a.b","source":"/s","id":"1","subject":"data","data":${WRITTEN}}`
    await tenant.post('/api/events', cloudEvent, ce)
    await tenant.post('/api/events', '{"event":"a.b","data":{"written-0":"\\"written-0\\""}}')
    await deliverDue(service, tenant)
    const urls = receiver.received.map(({ body }) => (JSON.parse(body) as { data: { url: string } }).data.url)
    const event = await tenant.get(urls.sort()[0] ?? '')
    t.ok(event.body.includes(`,"data":${WRITTEN},"cloudevent":`), event.body)
    t.match(event.json(), { cloudevent: { subject: 'data' }, deliveries: [{ status: 'sent' }] })
    const feed = await tenant.get('/api/events')
    t.ok(feed.body.includes(`,"data":${WRITTEN},"cloudevent":`), feed.body)
    t.match(feed.json(), { data: [{ event: 'a.b' }, { data: { 'written-0': '"written-0"' } }] })
  },
)
