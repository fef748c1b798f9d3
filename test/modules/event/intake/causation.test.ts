import { CloudEvent, HTTP } from 'cloudevents'
import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'

const service = await startApp(t)
const CAUSE = '01920000-0000-7000-8000-000000000001'
const OTHER = '01920000-0000-7000-8000-000000000002'
const HEADERS = { 'x-causation-id': CAUSE, 'x-causation-depth': '3' }
const event = { event: 'order.paid', data: {} }

async function causationOf(tenant: Tenant, id: string): Promise<unknown> {
  return (await tenant.get(`/api/events/${id}`)).json<{ causation?: unknown }>().causation
}

t.test('an event keeps what its request says of its cause, in every way of sending it', async (t) => {
  const tenant = service.tenant()
  const cloudEvent = new CloudEvent({
    type: 'order.paid',
    source: '/orders',
    data: {},
    causationid: CAUSE,
    causationdepth: 3,
  })
  const structured = HTTP.structured(cloudEvent)
  const binary = HTTP.binary(cloudEvent.cloneWith({ id: 'another' }))
  const requests: [string, unknown, object][] = [
    ['/api/events', event, HEADERS],
    ['/api/events', { ...event, causation: { id: CAUSE, depth: 3 } }, {}],
    ['/plugins/automation/webhook', { event_type: 'order.paid', payload: {} }, HEADERS],
    ['/api/events', structured.body, structured.headers],
    ['/api/events', binary.body, binary.headers],
  ]
  for (const [url, body, headers] of requests) {
    const response = await tenant.post(url, body, headers as Record<string, string>)
    t.equal(response.statusCode, 202, response.body)
    const { id } = response.json<{ id: string }>()
    t.strictSame(await causationOf(tenant, id), { event_id: CAUSE, depth: 3 })
  }
})

t.test('each event of a batch may have its own cause, the others have that of the request', async (t) => {
  const tenant = service.tenant()
  const events = [
    event,
    { ...event, causation: { id: OTHER, depth: 0 } },
    { ...event, causation: { depth: 2 } },
  ]
  const response = await tenant.post('/api/events', { events }, HEADERS)
  const ids = response.json<{ results: { id: string }[] }>().results.map(({ id }) => id)
  t.strictSame(await Promise.all(ids.map((id) => causationOf(tenant, id))), [
    { event_id: CAUSE, depth: 3 },
    { event_id: OTHER, depth: 0 },
    { event_id: null, depth: 2 },
  ])
})

t.test('what nothing caused says nothing of a cause', async (t) => {
  const tenant = service.tenant()
  const { id } = (await tenant.post('/api/events', event)).json<{ id: string }>()
  t.equal(await causationOf(tenant, id), undefined)
})

t.test('a cause that makes no sense is refused, and says where it stands', async (t) => {
  const tenant = service.tenant()
  const refused = async (body: unknown, headers: Record<string, string> = {}) => {
    const response = await tenant.post('/api/events', body, headers)
    t.equal(response.statusCode, 400, response.body)
    return response.json<{ errors: { pointer: string; detail: string }[] }>().errors
  }
  const rule = 'must be an integer from 0 to 1000'
  for (const depth of ['-1', '1001', '1.5', 'many', '']) {
    t.strictSame(await refused(event, { 'x-causation-depth': depth }), [
      { pointer: '/headers/x-causation-depth', detail: rule },
    ])
  }
  t.strictSame(await refused(event, { 'x-causation-id': 'order 7' }), [
    { pointer: '/headers/x-causation-id', detail: 'must be the UUID of an event' },
    { pointer: '/headers/x-causation-depth', detail: 'is required beside the id' },
  ])
  t.strictSame(await refused({ ...event, causation: { id: CAUSE, depth: '3', by: 'me' } }), [
    { pointer: '/causation/by', detail: 'is not a known property: remove it' },
  ])
  t.strictSame(await refused({ ...event, causation: { depth: '3' } }), [
    { pointer: '/causation/depth', detail: rule },
  ])
  t.strictSame(await refused({ ...event, causation: 3 }), [
    { pointer: '/causation', detail: 'must be object' },
  ])
})

t.test('a bad cause of one event of a batch does not keep the others out', async (t) => {
  const events = [event, { ...event, causation: { id: 'x', depth: 1 } }]
  const response = await service.tenant().post('/api/events', { events })
  t.match(response.json(), {
    results: [
      { status: 'accepted' },
      { status: 'rejected', problem: { errors: [{ pointer: '/events/1/causation/id' }] } },
    ],
  })
})
