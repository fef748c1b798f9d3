import { CloudEvent, HTTP } from 'cloudevents'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import { causationToken } from '#modules/event/index.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import { deliverDue, registerPlugin, sendEvent } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { clientOf } from '#test/modules/plugin/support.ts'

const service = await startApp(t)

interface Told {
  headers: { 'x-causation-id': string; 'x-causation-depth': string; 'x-causation-token': string }
  shop: Tenant
  author: Tenant
  pluginId: string
}

/** A plugin that was told of an event. */
async function told(t: Parameters<typeof startReceiver>[0], shop = service.tenant()): Promise<Told> {
  const receiver = await startReceiver(t)
  const { id: pluginId } = await registerPlugin(shop, receiver.url)
  const author = await clientOf(service, shop, { pluginId })
  await sendEvent(shop)
  await deliverDue(service, shop)
  return { headers: receiver.received[0]?.headers as unknown as Told['headers'], shop, author, pluginId }
}

async function causationOf(shop: Tenant, answer: { body: string }): Promise<unknown> {
  const { id } = JSON.parse(answer.body) as { id: string }
  return (await shop.get(`/api/events/${id}`)).json<{ causation?: unknown }>().causation
}

const event = { event: 'review.written', data: {} }

t.test(
  'a plugin’s word of a cause counts with the token that came with it, whatever way it is sent',
  async (t) => {
    const { headers, shop, author } = await told(t)
    const { 'x-causation-id': id, 'x-causation-token': token } = headers
    const own = { 'x-causation-id': id, 'x-causation-depth': '1', 'x-causation-token': token }
    const cloudEvent = new CloudEvent({
      type: 'review.written',
      source: '/reviews',
      data: {},
      causationid: id,
      causationdepth: 1,
      causationtoken: token,
    })
    const structured = HTTP.structured(cloudEvent)
    const requests: [string, unknown, object][] = [
      ['/api/events', event, own],
      ['/api/events', { ...event, causation: { id, depth: 1, token } }, {}],
      ['/plugins/automation/webhook', { event_type: 'review.written', payload: {} }, own],
      ['/api/events', structured.body, structured.headers],
    ]
    for (const [url, body, given] of requests) {
      const answer = await author.post(url, body, given as Record<string, string>)
      t.equal(answer.statusCode, 202, answer.body)
      t.strictSame(await causationOf(shop, answer), { event_id: id, depth: 1 })
      t.notOk((await shop.get(`/api/events/${answer.json<{ id: string }>().id}`)).body.includes(token))
    }
    const batch = await author.post('/api/events', { events: [event] }, own)
    const [first] = batch.json<{ results: { id: string }[] }>().results
    t.match((await shop.get(`/api/events/${first?.id ?? ''}`)).json(), { causation: { event_id: id } })
  },
)

t.test(
  'without it, or with another’s, the event has no known cause and is the second of a chain',
  async (t) => {
    const { headers, shop, author, pluginId } = await told(t)
    const { headers: others } = await told(t, shop)
    const { 'x-causation-id': id, 'x-causation-token': token } = headers
    const cases: [object, number][] = [
      [{ id, depth: 1 }, 1],
      [{ id, depth: 0 }, 1],
      [{ id, depth: 0, token }, 1],
      [{ id: newId(), depth: 1, token }, 1],
      [{ id, depth: 5, token }, 5],
      [{ depth: 3 }, 3],
      [{ id, depth: 1, token: 'made-up' }, 1],
      [{ id: others['x-causation-id'], depth: 1, token: others['x-causation-token'] }, 1],
    ]
    for (const [causation, depth] of cases) {
      const answer = await author.post('/api/events', { ...event, causation })
      t.strictSame(await causationOf(shop, answer), { event_id: null, depth }, JSON.stringify(causation))
    }
    const foreign = causationToken(service.app.secretBox, { tenantId: newId(), pluginId }, { id, depth: 1 })
    const answer = await author.post('/api/events', { ...event, causation: { id, depth: 1, token: foreign } })
    t.strictSame(await causationOf(shop, answer), { event_id: null, depth: 1 })
    t.equal(await causationOf(shop, await author.post('/api/events', event)), undefined)
  },
)

t.test('the platform and the shop are believed', async (t) => {
  const shop = service.tenant()
  const editor = await clientOf(service, shop, 'editor')
  const id = newId()
  for (const client of [shop, editor]) {
    const answer = await client.post('/api/events', { ...event, causation: { id, depth: 4 } })
    t.strictSame(await causationOf(shop, answer), { event_id: id, depth: 4 })
  }
})

t.test('what cannot be a token is refused by its place', async (t) => {
  const shop = service.tenant()
  const refused = async (body: object, headers: Record<string, string> = {}) =>
    (await shop.post('/api/events', body, headers)).json<{ errors: { pointer: string }[] }>().errors
  t.match(await refused(event, { 'x-causation-depth': '1', 'x-causation-token': 'a b' }), [
    { pointer: '/headers/x-causation-token' },
  ])
  t.match(await refused({ ...event, causation: { depth: 1, token: 7 } }), [{ pointer: '/causation/token' }])
})
