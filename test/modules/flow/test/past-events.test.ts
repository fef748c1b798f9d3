import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { SYSTEM_ACTOR } from '#infra/auth/actor.ts'
import { newId } from '#lib/ids.ts'
import { testFlowOnEvents } from '#modules/flow/test/events-service.ts'
import type { EventsTest } from '#modules/flow/test/schemas.ts'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { snapshotTenant } from '#test/support/tenant-snapshot.ts'
import { answerOf, codeOf, created, FLOWS, taskFlow } from '../support.ts'

const world = await startApp(t)

const trigger = {
  type: 'event',
  event_types: ['order.created'],
  filter: { field: 'total', operator: 'gte', value: 100 },
}

async function send(shop: Tenant, data: object): Promise<string> {
  const answer = await shop.post('/api/events', { event: 'order.created', data })
  return answerOf<{ id: string }>(answer, 202).id
}

const ask = async (shop: Tenant, flow: string, body: object): Promise<LightMyRequestResponse> =>
  shop.post(`${FLOWS}/${flow}/test/events`, body)

t.test('a draft is tried on past events in one request, in the order asked for', async (t) => {
  const receiver = await startReceiver(t)
  const [shop, other] = [world.tenant(), world.tenant()]
  const { id } = await created(shop, {
    name: 'Large orders',
    triggers: [trigger],
    steps: [
      {
        id: 'each',
        type: 'for_each',
        list: '{{trigger.items}}',
        body: [{ id: 'ask', type: 'http', url: `${receiver.url}/{{item}}` }],
      },
      { id: 'wait', type: 'delay', duration: '1 day' },
    ],
  })
  const large = await send(shop, { total: 120, items: ['a', 'b', 'c'] })
  const small = await send(shop, { total: 20, items: [] })
  const foreign = await send(other, { total: 120, items: [] })
  const nobody = newId()
  const before = await rowsOf(shop)
  const given = { event_ids: [small, foreign, large, nobody] }
  const tried = answerOf<EventsTest>(await ask(shop, id, given))
  const none = { start: null, end: null, limit: null, done: [] }
  t.match(tried, {
    flow_id: id,
    version: null,
    complete: true,
    results: [
      { event_id: small, start: { would_start: false, reason: 'filter' }, end: null, done: [] },
      { event_id: foreign, ...none },
      { event_id: large, start: { would_start: true }, end: { status: 'completed' }, limit: null },
      { event_id: nobody, ...none },
    ],
  })
  const [capitals] = answerOf<EventsTest>(await ask(shop, id, { event_ids: [large.toUpperCase()] })).results
  t.match(capitals, { event_id: large.toUpperCase(), start: { would_start: true } })
  t.strictSame(tried.results[2]?.done, [
    { step_id: 'ask', kind: 'http', count: 3 },
    { step_id: 'wait', kind: 'wait', count: 1 },
  ])
  const { received_at } = (await shop.get(`/api/events/${large}`)).json<{ received_at: string }>()
  const ends = Date.parse(String(tried.results[2]?.end?.finished_at))
  t.equal(ends - Date.parse(received_at), 86_400_000, 'each at the time when it came')
  t.strictSame(await rowsOf(shop), before, 'no row has changed')
  t.equal(receiver.received.length, 0)
  const log = (await shop.get('/api/audit-log?action=flow.tested')).json<{ data: { detail: object }[] }>()
  t.strictSame(
    log.data.map(({ detail }) => detail),
    [
      { name: 'Large orders', events: 1 },
      { name: 'Large orders', events: 4 },
    ],
    'one entry for all of a request',
  )

  const anyway = {
    ...given,
    start_anyway: true,
    mocks: { ask: { error: { code: 'gone', message: 'Gone' } } },
  }
  const failed = answerOf<EventsTest>(await ask(shop, id, anyway))
  t.match(failed.results[2], { end: { status: 'failed', error: { code: 'gone' } } })
  t.match(failed.results[0], { start: { would_start: false }, end: { status: 'completed' } })
})

t.test('a version, or a definition sent along, is tried in place of the draft', async (t) => {
  const shop = world.tenant()
  const { id } = await created(shop, taskFlow({ trigger, status: 'active' }))
  const event_ids = [await send(shop, { total: 20 })]
  const definition = taskFlow({ trigger: { type: 'event', event_types: ['order.created'] } })
  t.match(answerOf<EventsTest>(await ask(shop, id, { event_ids, version: 1 })), {
    version: 1,
    results: [{ start: { reason: 'filter' } }],
  })
  t.match(answerOf<EventsTest>(await ask(shop, id, { event_ids, definition })), {
    version: null,
    results: [{ start: { would_start: true } }],
  })
})

t.test('what it does not get through in its time is left out, and one is tried in any case', async (t) => {
  const shop = world.tenant()
  const { id } = await created(shop, taskFlow({ trigger }))
  const event_ids = [await send(shop, { total: 1 }), await send(shop, { total: 2 })]
  const { db, registry, connections, signals, egress, platform } = world.app
  const { flowEngine: engine, flowTriggers: triggers } = world.app
  const tried = await testFlowOnEvents(
    { db, registry, connections, engine, triggers, signals, egress, platform },
    SYSTEM_ACTOR,
    { tenantId: shop.id, id, ifMatch: undefined },
    { event_ids, start_anyway: false, mocks: {} },
    0,
  )
  t.match(tried, { complete: false, results: [{ event_id: event_ids[0] }] })
  t.equal(tried.results.length, 1)
})

t.test('what cannot be meant is refused, and so is whoever may not test', async (t) => {
  const shop = world.tenant()
  const { id } = await created(shop, taskFlow())
  const one = newId()
  const pointers: [object, string][] = [
    [{}, '/event_ids'],
    [{ event_ids: [] }, '/event_ids'],
    [{ event_ids: [one, one] }, '/event_ids'],
    [{ event_ids: Array.from({ length: 101 }, newId) }, '/event_ids'],
    [{ event_ids: ['last'] }, '/event_ids/0'],
    [{ event_ids: [one], version: 1, definition: taskFlow() }, '/version'],
    [{ event_ids: [one], mocks: { task: [null] } }, '/mocks/task'],
  ]
  for (const [body, pointer] of pointers) {
    t.match((await ask(shop, id, body)).json(), { status: 400, errors: [{ pointer }] }, pointer)
  }
  t.equal(codeOf(await ask(shop, newId(), { event_ids: [one] })), '404 flow_not_found')
  t.equal(codeOf(await ask(shop, id, { event_ids: [one], version: 9 })), '404 flow_version_not_found')
  t.equal(codeOf(await ask(world.tenant(), id, { event_ids: [one] })), '404 flow_not_found')
  const made = await shop.post('/api/keys', { name: 'viewer', kind: 'tenant', role: 'viewer' })
  const viewer = clientFor(world.app, shop.id, made.json<{ key: string }>().key)
  t.equal((await ask(viewer, id, { event_ids: [one] })).statusCode, 403)
})

async function rowsOf({ id }: Tenant): Promise<Record<string, unknown[]>> {
  const rows = await snapshotTenant(world.db, id)
  delete rows['audit_log']
  return rows
}
