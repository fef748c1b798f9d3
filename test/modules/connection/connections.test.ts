import t from 'tap'
import { clientFor, startApp } from '#test/support/app.ts'

const service = await startApp(t)
const { app, db } = service

const HEADER = {
  name: 'scores',
  kind: 'header',
  hosts: ['scores.example.com'],
  settings: { header: 'X-Api-Key' },
  values: { value: 'value-of-the-header-0001' },
}
const OAUTH = {
  name: 'crm',
  kind: 'oauth2_client_credentials',
  hosts: ['api.example.com', '*.crm.example.com', 'crm.example.com:8443'],
  settings: { token_url: 'https://login.example.com/token', scope: 'read write' },
  values: { client_id: 'the-client', client_secret: 'secret-of-the-client-0002' },
}

const INBOUND = { name: 'inbound', kind: 'webhook_secret', values: { secret: 'secret-of-the-sender-0004' } }

t.test('a secret that anybody guesses, or that is cut off, verifies nothing', async (t) => {
  const shop = service.tenant()
  const good = INBOUND.values.secret
  const wrong: [secret: string, detail: RegExp][] = [
    ...['whsec_', 'whsec_==', 'whsec_=secret', 'whsec_c2hvcnQ=', 'whsec_k=9f8e7d6c5b4a39281706'].map(
      (secret): [string, RegExp] => [secret, /base64 of at least 16 bytes/],
    ),
    ['=secret', /at least 8 bytes/],
    ['k', /at least 8 bytes/],
  ]
  for (const [secret, detail] of wrong) {
    const made = await shop.post('/api/connections', { ...INBOUND, values: { secret } })
    t.match(made.json(), { status: 400, errors: [{ pointer: '/values/secret', detail }] }, secret)
    const older = { secret: good, previous_secret: secret }
    const both = await shop.post('/api/connections', { ...INBOUND, values: older })
    t.match(both.json(), { status: 400, errors: [{ pointer: '/values/previous_secret', detail }] }, secret)
  }
  for (const secret of ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'eight by']) {
    const name = `inbound-${secret.length}`
    const made = await shop.post('/api/connections', { ...INBOUND, name, values: { secret } })
    t.equal(made.statusCode, 201, made.body)
  }
  const changed = await shop.patch('/api/connections/inbound-8', { values: { secret: 'whsec_' } })
  t.match(changed.json(), { status: 400, errors: [{ pointer: '/values/secret' }] })
})

t.test('what verifies webhooks is sealed, changed, and sent nowhere', async (t) => {
  const shop = service.tenant()
  const made = await shop.post('/api/connections', INBOUND)
  t.match(made.json(), { kind: 'webhook_secret', hosts: [], settings: {} }, made.body)
  const values = { secret: 'secret-of-the-sender-0005', previous_secret: INBOUND.values.secret }
  const changed = await shop.patch('/api/connections/inbound', { values })
  t.equal(changed.statusCode, 200, changed.body)
  t.notMatch(made.body + changed.body, /secret-of-the-sender/)
  t.same(await app.connections.webhookSecrets(shop.id, 'inbound'), {
    secrets: [values.secret, values.previous_secret],
    verifyToken: null,
  })
  t.equal(await app.connections.webhookSecrets(service.tenant().id, 'inbound'), null, 'of another shop')
  const hosts = await shop.patch('/api/connections/inbound', { hosts: ['shop.example.com'] })
  t.match(hosts.json(), { status: 400, errors: [{ pointer: '/hosts' }] })
  const asked = { url: 'https://shop.example.com/', timeoutMs: 1_000 }
  t.match(await app.connections.authorise(shop.id, 'inbound', asked), {
    code: 'connection_host_refused',
    message: /never sent/,
  })
})

t.test('a trigger that verifies by it uses it, and asks for it elsewhere', async (t) => {
  const shop = service.tenant()
  await shop.post('/api/connections', INBOUND)
  const definition = {
    name: 'Verifies',
    triggers: [{ type: 'webhook', verify: { scheme: 'github', connection: 'inbound' } }],
    steps: [{ id: 'later', type: 'delay', duration: '1 day' }],
  }
  const flow = (await shop.post('/api/automation/flows', definition)).json<{ id: string }>()
  const refused = await shop.delete('/api/connections/inbound')
  t.match(refused.json(), { code: 'connection_in_use', flows: [{ id: flow.id }] })
  const exported = await shop.get(`/api/automation/flows/${flow.id}/export`)
  t.match(exported.json(), { requires: { connections: ['inbound'] } })
  const imported = await service.tenant().post('/api/automation/flows/import', exported.json())
  t.match(imported.json(), { missing: { connections: ['inbound'] } }, imported.body)
  const request = { headers: { 'x-github-event': 'push' } }
  const set = {
    id: 'say',
    type: 'set',
    variables: { text: '{{trigger.headers.x-github-event}} {{trigger.n}}' },
  }
  const tested = await shop.post('/api/automation/flows/test', {
    definition: { ...definition, steps: [set] },
    data: { n: 1 },
    request,
  })
  t.match(tested.json(), { variables: { text: 'push 1' } }, tested.body)
})

t.test(
  'a connection is made, listed, changed and deleted, and its values are never seen again',
  async (t) => {
    const shop = service.tenant()
    const made = await shop.post('/api/connections', HEADER)
    t.equal(made.statusCode, 201, made.body)
    t.equal(made.headers.location, '/api/connections/scores')
    t.match(made.json(), { name: 'scores', kind: 'header', settings: { header: 'X-Api-Key' } })
    t.equal((await shop.post('/api/connections', OAUTH)).statusCode, 201)
    const list = await shop.get('/api/connections?limit=1')
    t.match(list.json(), { data: [{ name: 'crm', hosts: OAUTH.hosts }] })
    const { next_cursor } = list.json<{ next_cursor: string }>()
    const rest = await shop.get(`/api/connections?limit=1&cursor=${next_cursor}`)
    t.match(rest.json(), { data: [{ name: 'scores' }], next_cursor: null })
    const changed = await shop.patch('/api/connections/scores', {
      description: 'Scores of customers',
      values: { value: 'value-of-the-header-0003' },
    })
    t.match(changed.json(), { description: 'Scores of customers', hosts: HEADER.hosts })
    const answers = [made, list, rest, changed, await shop.get('/api/connections/scores')]
    const log = await shop.get('/api/audit-log')
    t.match(
      log.json<{ data: { action: string }[] }>().data.map(({ action }) => action),
      ['connection.updated', 'connection.created', 'connection.created'],
    )
    for (const { body } of [...answers, log]) t.notMatch(body, /value-of-the|secret-of-the|sealed/)
    const rows = await db.selectFrom('connections').selectAll().where('tenant_id', '=', shop.id).execute()
    t.equal(rows.length, 2)
    t.notMatch(JSON.stringify(rows), /value-of-the|secret-of-the/)
    for (const { values_sealed } of rows) t.notOk(values_sealed.includes('0003'), 'sealed')
    t.equal((await shop.delete('/api/connections/scores')).statusCode, 204)
    const gone = await shop.delete('/api/connections/scores')
    t.match(gone.json(), { status: 404, code: 'connection_not_found' })
  },
)

t.test('what does not go with the kind is named', async (t) => {
  const shop = service.tenant()
  const cases: [body: object, pointer: string][] = [
    [{ ...HEADER, values: {} }, '/values/value'],
    [{ ...HEADER, values: { ...HEADER.values, password: 'x' } }, '/values/password'],
    [{ ...HEADER, settings: { header: 'host' } }, '/settings/header'],
    [{ ...HEADER, values: { value: 'two\nlines' } }, '/values/value'],
    [{ ...HEADER, hosts: ['https://scores.example.com'] }, '/hosts/0'],
    [{ ...HEADER, hosts: ['Scores.example.com'] }, '/hosts/0'],
    [{ ...HEADER, hosts: [] }, '/hosts'],
    [{ ...HEADER, name: 'Not a name' }, '/name'],
    [{ ...HEADER, kind: 'digest' }, '/kind'],
    [{ ...HEADER, secret: 'x' }, '/secret'],
    [
      { ...HEADER, kind: 'basic', settings: {}, values: { username: 'a:b', password: '' } },
      '/values/username',
    ],
    [{ ...HEADER, kind: 'query', settings: {} }, '/settings/parameter'],
    [{ ...HEADER, hosts: undefined }, '/hosts'],
    [{ ...INBOUND, hosts: ['shop.example.com'] }, '/hosts'],
    [{ ...INBOUND, values: {} }, '/values/secret'],
    [{ ...INBOUND, values: { secret: 'x', token: 'y' } }, '/values/token'],
    [{ ...INBOUND, settings: { header: 'x-signature' } }, '/settings/header'],
    [{ ...OAUTH, settings: {} }, '/settings/token_url'],
    [{ ...OAUTH, settings: { token_url: 'http://10.0.0.1/token' } }, '/settings/token_url'],
    [{ ...OAUTH, settings: { token_url: 'no address' } }, '/settings/token_url'],
  ]
  for (const [body, pointer] of cases) {
    const answer = await shop.post('/api/connections', body)
    t.match(answer.json(), { status: 400, code: 'invalid_request' }, answer.body)
    const { errors } = answer.json<{ errors: { pointer: string }[] }>()
    t.ok(
      errors.some((error) => error.pointer === pointer),
      `${pointer}: ${answer.body}`,
    )
  }
  t.strictSame((await shop.get('/api/connections')).json(), { data: [], next_cursor: null })
})

t.test('values are not sent elsewhere by who does not know them', async (t) => {
  const shop = service.tenant()
  await shop.post('/api/connections', HEADER)
  await shop.post('/api/connections', OAUTH)
  const elsewhere = { hosts: ['scores.example.com', 'attacker.example.net'] }
  t.match((await shop.patch('/api/connections/scores', elsewhere)).json(), {
    status: 400,
    errors: [{ pointer: '/values' }],
  })
  const settings = { token_url: 'https://attacker.example.net/token' }
  t.match((await shop.patch('/api/connections/crm', { settings })).json(), {
    errors: [{ pointer: '/values' }],
  })
  t.equal((await shop.patch('/api/connections/crm', { hosts: ['api.example.com'] })).statusCode, 200)
  const known = await shop.patch('/api/connections/scores', { ...elsewhere, values: HEADER.values })
  t.strictSame(known.json<{ hosts: string[] }>().hosts, elsewhere.hosts)
})

t.test('a name is taken once, and the quota counts', async (t) => {
  const shop = service.tenant()
  t.equal((await shop.post('/api/connections', HEADER)).statusCode, 201)
  t.match((await shop.post('/api/connections', HEADER)).json(), { status: 409, code: 'connection_exists' })
  t.equal((await shop.put('/api/tenant/quotas', { connections: 1 })).statusCode, 200)
  t.match((await shop.post('/api/connections', OAUTH)).json(), {
    status: 422,
    code: 'quota_exceeded',
    quota: 'connections',
  })
  t.match((await shop.get('/api/usage')).json(), { quotas: { connections: { used: 1, limit: 1 } } })
})

t.test('admins make them, editors see them', async (t) => {
  const shop = service.tenant()
  const made = await shop.post('/api/keys', { name: 'editor', kind: 'tenant', role: 'editor' })
  const editor = clientFor(app, shop.id, made.json<{ key: string }>().key)
  t.equal((await editor.post('/api/connections', HEADER)).statusCode, 403)
  t.equal((await shop.post('/api/connections', HEADER)).statusCode, 201)
  t.equal((await editor.get('/api/connections/scores')).statusCode, 200)
  t.equal((await editor.patch('/api/connections/scores', { description: 'x' })).statusCode, 403)
  t.equal((await editor.delete('/api/connections/scores')).statusCode, 403)
})

t.test('one that flows name is deleted by force alone', async (t) => {
  const shop = service.tenant()
  await shop.post('/api/connections', HEADER)
  const flow = {
    name: 'Asks for scores',
    triggers: [{ type: 'manual' }],
    steps: [{ id: 'ask', type: 'http', url: 'https://scores.example.com/', connection: 'scores' }],
  }
  const { id } = (await shop.post('/api/automation/flows', flow)).json<{ id: string }>()
  const refused = await shop.delete('/api/connections/scores')
  t.match(refused.json(), {
    status: 409,
    code: 'connection_in_use',
    flows: [{ id, name: 'Asks for scores', status: 'draft' }],
  })
  t.equal((await shop.delete('/api/connections/scores?force=true')).statusCode, 204)
  const problems = (await shop.get(`/api/automation/flows/${id}`)).json<{ problems: object[] }>().problems
  t.match(problems, [{ code: 'unknown_connection', pointer: '/steps/0/connection' }])
  t.match((await shop.post(`/api/automation/flows/${id}/publish`)).json(), { code: 'flow_invalid' })
})
