import { CloudEvent, HTTP } from 'cloudevents'
import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import { deliverDue, registerPlugin } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)

interface Message {
  headers: Record<string, string>
  body: string | undefined
}

const ATTRIBUTES = {
  'ce-specversion': '1.0',
  'ce-type': 'com.example.someevent',
  'ce-time': '2018-04-05T03:56:24Z',
  'ce-id': '1234-1234-1234',
  'ce-source': '/mycontext/subcontext',
}
const BODY = '{\n    "message": "Hello World!"\n}'
const structuredBody = (extra: object = {}) =>
  JSON.stringify({
    specversion: '1.0',
    type: 'com.example.someevent',
    time: '2018-04-05T03:56:24Z',
    id: '1234-1234-1234',
    source: '/mycontext/subcontext',
    datacontenttype: 'application/json',
    data: { message: 'Hello World!' },
    ...extra,
  })

/** Messages of the SDK's own conformance cases for the HTTP binding, and those that its users ask about. */
const CASES: Record<string, Message> = {
  'binary, application/json': {
    headers: { ...ATTRIBUTES, 'content-type': 'application/json' },
    body: BODY,
  },
  'binary, with a charset': {
    headers: { ...ATTRIBUTES, 'content-type': 'application/json; charset=utf-8' },
    body: BODY,
  },
  'binary, with a subject and extensions': {
    headers: {
      ...ATTRIBUTES,
      'ce-subject': 'orders/1',
      'ce-traceparent': '00-abc-01',
      'content-type': 'application/json',
    },
    body: BODY,
  },
  structured: {
    headers: { 'content-type': 'application/cloudevents+json' },
    body: structuredBody(),
  },
  'structured, with a charset': {
    headers: { 'content-type': 'application/cloudevents+json; charset=utf-8' },
    body: structuredBody({ subject: 'orders/1', dataschema: 'https://shop.example/s.json', sequence: '7' }),
  },
  'structured, with extensions that are no text': {
    headers: { 'content-type': 'application/cloudevents+json' },
    body: structuredBody({ partition: 3, urgent: true }),
  },
}

async function store(tenant: Tenant, { headers, body }: Message) {
  const response = await tenant.post('/api/events', body, headers)
  if (response.statusCode !== 202) throw new Error(response.body)
  const { id } = response.json<{ id: string }>()
  const event = (await tenant.get(`/api/events/${id}`)).json<{
    event: string
    data: unknown
    cloudevent: Record<string, unknown>
  }>()
  return { id, ...event }
}

t.test('every case of the SDK is the same event to the service as to the SDK', async (t) => {
  for (const [name, message] of Object.entries(CASES)) {
    const tenant = service.tenant()
    const parsed = HTTP.toEvent({
      headers: { ...message.headers },
      body: message.body,
    }) as CloudEvent<unknown>
    const { data, ...attributes } = JSON.parse(JSON.stringify(parsed)) as Record<string, unknown>
    const stored = await store(tenant, message)
    t.same(stored.data, data, name)
    t.equal(stored.event, attributes['type'])
    const { time, ...others } = stored.cloudevent
    const { time: expected, ...expectedOthers } = attributes
    t.equal(Date.parse(String(time)), Date.parse(String(expected)), name)
    const contentType = message.headers['content-type']?.startsWith('application/json')
      ? { datacontenttype: message.headers['content-type'] }
      : {}
    t.same(others, { ...expectedOthers, ...contentType }, name)
  }
})

t.test(
  'binary mode equals structured mode: percent-encoding, quotes, +json, and no data at all',
  async (t) => {
    const attributes = { ...ATTRIBUTES, 'ce-id': undefined }
    const pairs: [Message, object][] = [
      [
        {
          headers: { ...attributes, 'ce-id': 'a', 'ce-subject': 'Caf%C3%A9 %F0%9F%98%80 100%25' },
          body: undefined,
        },
        { id: 'a', subject: 'Café 😀 100%', data: undefined, datacontenttype: undefined },
      ],
      [
        {
          headers: {
            ...attributes,
            'ce-id': 'b',
            'ce-subject': '"a \\"quoted\\" one"',
            'content-type': 'application/json',
          },
          body: '{"message":"Hello World!"}',
        },
        { id: 'b', subject: 'a "quoted" one' },
      ],
      [
        {
          headers: { ...attributes, 'ce-id': 'c%20d', 'content-type': 'application/vnd.shop.order+json' },
          body: '{"message":"Hello World!"}',
        },
        { id: 'c d', datacontenttype: 'application/vnd.shop.order+json' },
      ],
      [
        {
          headers: { ...attributes, 'ce-id': 'e', 'ce-type': 'com.GitHub.pull-request/Opened' },
          body: undefined,
        },
        { id: 'e', type: 'com.GitHub.pull-request/Opened', data: null, datacontenttype: undefined },
      ],
    ]
    for (const [binary, extra] of pairs) {
      const first = await store(service.tenant(), binary)
      const structured = {
        headers: { 'content-type': 'application/cloudevents+json' },
        body: structuredBody(extra),
      }
      const second = await store(service.tenant(), structured)
      t.same(first.cloudevent, second.cloudevent, JSON.stringify(extra))
      t.same(first.data, second.data)
      const tenant = service.tenant()
      t.equal((await store(tenant, binary)).id, (await store(tenant, structured)).id, 'one event, sent twice')
    }
  },
)

t.test('attributes that cannot be kept are refused with their header', async (t) => {
  const tenant = service.tenant()
  const cases: Record<string, Record<string, string>> = {
    '/headers/ce-subject': { 'ce-subject': 'a%00b' },
    '/headers/ce-my-extension': { 'ce-my-extension': 'x' },
    '/headers/ce-time': { 'ce-time': 'soon' },
  }
  for (const [pointer, headers] of Object.entries(cases)) {
    const response = await tenant.post('/api/events', undefined, { ...ATTRIBUTES, ...headers })
    t.match(response.json(), { status: 400, errors: [{ pointer }] }, pointer)
  }
})

t.test(
  'subject and extensions are delivered, by subscriptions to types with capitals and slashes',
  async (t) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    await registerPlugin(tenant, receiver.url, { events: ['com.Acme.*', 'com/acme/Thing'] })
    for (const type of ['com.Acme.pull-request.Opened', 'com/acme/Thing', 'com.acme.other']) {
      const event = new CloudEvent({ type, source: '/s', subject: 'pr/7', partitionkey: 'k', data: { n: 1 } })
      await tenant.post('/api/events', HTTP.structured(event).body, {
        'content-type': 'application/cloudevents+json',
      })
    }
    await deliverDue(service, tenant)
    t.match(
      receiver.received.map(({ body }) => JSON.parse(body) as unknown),
      [
        {
          event: 'com.Acme.pull-request.Opened',
          cloudevent: { subject: 'pr/7', partitionkey: 'k' },
          data: { n: 1 },
        },
        { event: 'com/acme/Thing', cloudevent: { source: '/s' } },
      ],
    )
    t.equal(receiver.received.length, 2)
    const declared = await tenant.put('/api/event-types/com%2Facme%2FThing', { description: 'A thing.' })
    t.equal(declared.statusCode, 201, declared.body)
  },
)

t.test('the handshake of senders is answered without a key', async (t) => {
  const answer = await service.app.inject({
    method: 'OPTIONS',
    url: '/api/events',
    headers: {
      'webhook-request-origin': 'eventemitter.example.com',
      'webhook-request-rate': '120',
      'webhook-request-callback': 'https://eventemitter.example.com/confirm?id=1',
    },
  })
  t.equal(answer.statusCode, 200)
  t.match(answer.headers, {
    'webhook-allowed-origin': 'eventemitter.example.com',
    'webhook-allowed-rate': '*',
    allow: /POST/,
  })
  const plain = await service.app.inject({ method: 'OPTIONS', url: '/api/events' })
  t.equal(plain.statusCode, 200)
  t.notOk('webhook-allowed-origin' in plain.headers)
})
