import t from 'tap'
import { startApp } from '#test/support/app.ts'
import {
  answerOf,
  bodyOf,
  codeOf,
  created,
  type FlowAnswer,
  FLOWS,
  GRAPH,
  installPlugins,
  taskFlow,
} from '../support.ts'

const service = await startApp(t)
interface Imported {
  missing: { event_types: string[] }
  problems: { code: string; severity: string }[]
}

const NOWHERE = 'http://127.0.0.1:9/'

t.test('a copy is a draft of its own', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, taskFlow({ status: 'active', layout: { task: { x: 1 } } }))
  await shop.put(`${FLOWS}/${flow.id}`, taskFlow({ name: 'Changed', layout: { task: { x: 2 } } }))
  const copy = answerOf(await shop.post(`${FLOWS}/${flow.id}/duplicate`), 201)
  t.match(copy, { name: 'Changed (copy)', status: 'draft', published_version: null, problems: [] })
  t.match(copy.definition, { name: 'Changed (copy)', status: 'draft', layout: { task: { x: 2 } } })
  t.not(copy.id, flow.id)
  const named = answerOf(await shop.post(`${FLOWS}/${copy.id}/duplicate`, { name: 'Mine' }), 201)
  t.match(named, { name: 'Mine', definition: { name: 'Mine' } })
  const long = await created(shop, taskFlow({ name: '💐'.repeat(100) }))
  t.equal((await shop.post(`${FLOWS}/${long.id}/duplicate`)).statusCode, 201)
})

t.test('an exported flow names plugins by slug, and runs in another tenant that has them', async (t) => {
  const shop = service.tenant()
  await installPlugins(shop, NOWHERE)
  const { id: pluginId } = bodyOf(await shop.get('/api/plugins/email-marketing'))
  const [condition, action] = GRAPH.steps
  const steps = [condition, { ...action, plugin_id: pluginId }]
  const flow = await created(shop, { ...GRAPH, steps, tenant_id: shop.id })
  const exported = await shop.get(`${FLOWS}/${flow.id}/export`)
  t.match(exported.headers['content-disposition'], /attachment/)
  const document = bodyOf(exported)
  t.match(document, {
    format: 'bettercallsold.flow',
    format_version: 1,
    name: 'Welcome New Customers',
    requires: {
      plugins: ['email-marketing', 'logging-plugin'],
      event_types: ['customer.created'],
    },
  })
  t.strictSame(document['definition'], GRAPH)
  t.notOk(exported.body.includes(shop.id))
  t.notOk(exported.body.includes(String(pluginId)))

  const bare = service.tenant()
  const imported = bodyOf(await bare.post(`${FLOWS}/import`, document), 201)
  t.match(imported, { status: 'draft', name: 'Welcome New Customers' })
  t.strictSame(imported['missing'], {
    plugins: ['email-marketing', 'logging-plugin'],
    actions: [
      { plugin_id: 'email-marketing', action_type: 'send_welcome_email' },
      { plugin_id: 'logging-plugin', action_type: 'log_error' },
    ],
    event_types: [],
    connections: [],
  })
  t.strictSame(imported['definition'], { ...GRAPH, status: 'draft' })

  const equipped = service.tenant()
  await installPlugins(equipped, NOWHERE)
  const complete = bodyOf(await equipped.post(`${FLOWS}/import`, document), 201)
  t.strictSame(complete['missing'], { plugins: [], actions: [], event_types: [], connections: [] })
  const published = await equipped.post(`${FLOWS}/${String(complete['id'])}/publish`)
  t.match(answerOf(published), { status: 'active' })
})

t.test('what a flow needs is found wherever it stands', async (t) => {
  const shop = service.tenant()
  const definition = {
    name: 'Everywhere',
    triggers: [
      { type: 'event', event_types: ['shop.opened'], plugin_id: 'till' },
      { type: 'event', event_type: 'order.created' },
    ],
    settings: { enrolment: { key: 'k', cancel_on: [{ event: 'shop.closed' }] } },
    steps: [
      { id: 'wait', type: 'wait_event', any: [{ event: 'lead.answered' }], timeout: '1 day' },
      {
        id: 'each',
        type: 'for_each',
        list: '{{trigger.items}}',
        body: [{ id: 'note', type: 'action', plugin_id: 'notes', action_type: 'note' }],
      },
      {
        id: 'mail',
        type: 'message',
        channel: 'email',
        body: 'Hi',
        send_with: { plugin_id: 'post', action_id: 'mail' },
      },
      {
        id: 'ask',
        type: 'http',
        url: 'https://scores.example.com',
        body: [{ type: 'action', plugin_id: 'scores', action_type: 'score', event: 'score.asked' }],
      },
    ],
  }
  const draft = await created(shop, definition)
  const document = bodyOf(await shop.get(`${FLOWS}/${draft.id}/export`))
  t.match(document['requires'], {
    plugins: ['notes', 'post', 'till'],
    event_types: ['lead.answered', 'order.created', 'shop.closed', 'shop.opened'],
  })
  const lenient = bodyOf(await shop.post(`${FLOWS}/import`, document), 201) as unknown as Imported
  t.strictSame(lenient.missing.event_types, [], 'a lenient shop needs no declarations')
  t.strictSame(
    lenient.problems.filter(({ code }) => code === 'unknown_event_type').map(({ severity }) => severity),
    ['warning', 'warning', 'warning'],
    'and is warned of what it does not know',
  )
  const strict = service.tenant()
  await strict.post('/api/events', { event: 'shop.closed', data: {} })
  await strict.patch('/api/tenant', { strict_events: true })
  await strict.put('/api/event-types/shop.opened', { description: 'The shop opened.' })
  const refused = bodyOf(await strict.post(`${FLOWS}/import`, document), 201) as unknown as Imported
  t.strictSame(refused.missing.event_types, ['lead.answered', 'shop.closed'], 'what was only seen counts not')
  t.strictSame(
    refused.problems.filter(({ code }) => code === 'unknown_event_type').map(({ severity }) => severity),
    ['error', 'error'],
  )
})

t.test('an export names connections, and the import asks for them', async (t) => {
  const shop = service.tenant()
  const secret = 'value-of-the-key-0001'
  const connection = {
    name: 'scores',
    kind: 'bearer',
    hosts: ['scores.example.com'],
    values: { token: secret },
  }
  t.equal((await shop.post('/api/connections', connection)).statusCode, 201)
  const ask = { id: 'ask', type: 'http', url: 'https://scores.example.com/', connection: 'scores' }
  const again = { ...ask, id: 'again' }
  const body = [{ ...ask, id: 'inner', connection: 'other' }]
  const steps = [ask, again, { id: 'each', type: 'for_each', list: '{{trigger.items}}', body }]
  const draft = await created(shop, taskFlow({ steps }))
  const exported = await shop.get(`${FLOWS}/${draft.id}/export`)
  t.notOk(exported.body.includes(secret))
  const document = bodyOf(exported)
  t.match(document['requires'], { connections: ['other', 'scores'] })
  t.match(bodyOf(await shop.post(`${FLOWS}/import`, document), 201), { missing: { connections: ['other'] } })
  const older = { ...document }
  delete older['requires']
  const bare = bodyOf(await service.tenant().post(`${FLOWS}/import`, older), 201)
  t.match(bare, { missing: { connections: ['other', 'scores'] } })
  t.match(bare['problems'], [{ code: 'unknown_connection' }, { code: 'unknown_connection' }, {}])
})

t.test('documents that are no exported flow are refused', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, taskFlow())
  const document = bodyOf(await shop.get(`${FLOWS}/${flow.id}/export`))
  const post = (rest: object) => shop.post(`${FLOWS}/import`, { ...document, ...rest })
  t.equal(codeOf(await post({ format: 'n8n' })), '422 flow_export_unknown')
  t.equal(codeOf(await post({ format_version: 2 })), '422 flow_export_unknown')
  t.equal(codeOf(await post({ definition: { steps: [] } })), '400 invalid_request')
  t.equal(codeOf(await post({ definition: 'text' })), '400 invalid_request')
  t.equal(codeOf(await shop.post(`${FLOWS}/import`)), '400 invalid_request')
  t.equal((await post({ exported_by: 'a later release' })).statusCode, 201)
})

t.test('flows of other tenants are not there', async (t) => {
  const [owner, stranger] = [service.tenant(), service.tenant()]
  const flow = await created(owner, taskFlow({ status: 'active' }))
  const url = `${FLOWS}/${flow.id}`
  for (const path of [url, `${url}/versions`, `${url}/versions/1`, `${url}/export`]) {
    t.equal(codeOf(await stranger.get(path)), '404 flow_not_found', path)
  }
  for (const action of ['publish', 'activate', 'deactivate', 'duplicate', 'run']) {
    t.equal(codeOf(await stranger.post(`${url}/${action}`)), '404 flow_not_found', action)
  }
  t.equal(codeOf(await stranger.put(url, taskFlow())), '404 flow_not_found')
  t.equal(codeOf(await stranger.delete(url)), '404 flow_not_found')
  const { revision }: FlowAnswer = answerOf(await owner.get(url))
  t.equal(revision, flow.revision)
})
