import type { ServerResponse } from 'node:http'
import t from 'tap'
import { publish } from './support.ts'
import { type Shop, startReceiver, startWorld, type Step } from '../support.ts'

const world = await startWorld(t)
const api = await startReceiver(t)
const login = await startReceiver(t)
const host = new URL(api.url).host
t.beforeEach(() => {
  api.received.length = login.received.length = 0
  api.answer(204)
  say('token-of-the-server-0001')
})

function say(access_token: string): void {
  login.answer((_, response) => json(response, { access_token, expires_in: 600 }))
}

function json(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

const STEP = { id: 'ask', type: 'http', url: `${api.url}/scores?of=7`, connection: 'scores' }
const SECRETS = /value-of-the-key|token-of-the|pass%20word of|secret-of-the-client/

async function shopWith(kind: string, values: object, settings: object = {}): Promise<Shop> {
  const shop = await world.shop()
  const body = { name: 'scores', kind, hosts: [host], values, settings }
  const made = await shop.tenant.post('/api/connections', body)
  if (made.statusCode !== 201) throw new Error(made.body)
  return shop
}

interface Ran {
  step: Step | undefined
  shown: string
}

async function run(shop: Shop): Promise<Ran> {
  return runFlow(shop, await publish(shop, [STEP]))
}

/** Once more. */
async function runFlow(shop: Shop, flow: string): Promise<Ran> {
  await shop.send('order.created', { id: 7 })
  await shop.run()
  const execution = (await shop.executions(flow)).at(-1)
  if (execution === undefined) throw new Error('nothing was started')
  const shown = await shop.tenant.get(`/api/automation/executions/${execution.id}`)
  return { step: (await shop.steps(execution.id))[0], shown: shown.body }
}

const OAUTH = { client_id: 'the-client', client_secret: 'secret-of-the-client-0002' }
const OAUTH_SETTINGS = { token_url: `${login.url}/token` }
const KINDS: Record<string, { values: object; settings?: object; sent: object; path?: string }> = {
  header: {
    settings: { header: 'X-Api-Key' },
    values: { value: 'value-of-the-key-0001' },
    sent: { 'x-api-key': 'value-of-the-key-0001' },
  },
  bearer: {
    values: { token: 'token-of-the-shop-0001' },
    sent: { authorization: 'Bearer token-of-the-shop-0001' },
  },
  basic: {
    values: { username: 'ana', password: 'pass%20word of' },
    sent: { authorization: `Basic ${Buffer.from('ana:pass%20word of').toString('base64')}` },
  },
  query: {
    settings: { parameter: 'api_key' },
    values: { value: 'value-of-the-key/0003' },
    sent: {},
    path: '/scores?of=7&api_key=value-of-the-key%2F0003',
  },
  oauth2_client_credentials: {
    settings: OAUTH_SETTINGS,
    values: OAUTH,
    sent: { authorization: 'Bearer token-of-the-server-0001' },
  },
}

for (const [kind, { values, settings, sent, path = '/scores?of=7' }] of Object.entries(KINDS)) {
  t.test(`a request by ${kind}; what the other side repeats of it is hidden`, async (t) => {
    const shop = await shopWith(kind, values, settings)
    api.answer((received, response) =>
      json(response, { said: received.headers, path: received.path, [JSON.stringify(received.headers)]: 1 }),
    )
    const { step, shown } = await run(shop)
    t.match(api.received, [{ path, headers: sent }])
    t.match(step, { status: 'succeeded', input: { connection: 'scores', url: STEP.url } })
    const [credential = ''] = Object.values(sent) as string[]
    for (const text of [JSON.stringify(step), shown]) {
      t.notMatch(text, SECRETS)
      t.notOk(credential !== '' && text.includes(credential.split(' ').at(-1) ?? ''))
      t.match(text, /\[redacted\]/)
    }
  })
}

t.test('an error of the other side is told without what it was told', async (t) => {
  const shop = await shopWith('bearer', { token: 'token-of-the-shop-0001' })
  api.answer((received, response) =>
    json(response, { message: `No: ${received.headers.authorization}` }, 403),
  )
  const { step, shown } = await run(shop)
  t.match(step, { status: 'failed', error: { code: 'http_4xx', message: 'No: [redacted]' } })
  t.notMatch(shown, SECRETS)
})

t.test(
  'what a serializer writes by numbers is hidden all the same, and in an answer that is no JSON',
  async (t) => {
    const shop = await shopWith('bearer', { token: 'token-of-the-shop+0001==' })
    const written = 'token-of-the-shop\\u002b0001\\u003D\\u003d'
    for (const [status, body] of [
      [200, `{"said":"${written}"}`],
      // A text that is JSON by itself, as an answer repeats the request that it got.
      [200, JSON.stringify({ request: `{"said":"${written}"}` })],
      [200, `<p>${written} token-of-the-shop+0001==`],
      [403, `{"message":"${written}"}`],
    ] as const) {
      api.answer((_, response) => response.writeHead(status).end(body))
      const { step, shown } = await run(shop)
      for (const text of [JSON.stringify(step), shown]) {
        t.notMatch(text, /of-the-shop/)
        t.match(text, /\[redacted\]/)
      }
    }
  },
)

t.test('values that were changed hold for the next request', async (t) => {
  const shop = await shopWith('bearer', { token: 'token-of-the-shop-0001' })
  const flow = await publish(shop, [STEP])
  await runFlow(shop, flow)
  await shop.tenant.patch('/api/connections/scores', { values: { token: 'token-of-the-shop-0004' } })
  await runFlow(shop, flow)
  t.match(
    api.received.map(({ headers }) => headers.authorization),
    ['Bearer token-of-the-shop-0001', 'Bearer token-of-the-shop-0004'],
  )
})

t.test(
  'a token is asked for once; one that is refused is asked for anew, and the request sent again',
  async (t) => {
    const shop = await shopWith('oauth2_client_credentials', OAUTH, OAUTH_SETTINGS)
    const flow = await publish(shop, [STEP])
    await runFlow(shop, flow)
    await runFlow(shop, flow)
    t.equal(login.received.length, 1)
    say('token-of-the-server-0005')
    api.answer(({ headers }, response) =>
      json(response, {}, headers.authorization === 'Bearer token-of-the-server-0005' ? 200 : 401),
    )
    t.match((await runFlow(shop, flow)).step, { status: 'succeeded', attempts: 1 })
    t.equal(login.received.length, 2)
    const [refused, taken] = api.received.slice(-2)
    t.equal(refused?.headers['idempotency-key'], taken?.headers['idempotency-key'])
    api.answer(401)
    t.match((await runFlow(shop, flow)).step, { status: 'failed', error: { code: 'http_4xx' } })
    t.equal(api.received.length, 6, 'a request is sent again once')
  },
)

t.test('who gives no token is the error of the step, and waited for if that may pass', async (t) => {
  const shop = await shopWith('oauth2_client_credentials', OAUTH, OAUTH_SETTINGS)
  login.answer((_, response) =>
    json(response, { error: 'invalid_client', error_description: OAUTH.client_secret }, 401),
  )
  const { step, shown } = await run(shop)
  t.match(step, { status: 'failed', error: { code: 'connection_token_failed', message: /invalid_client/ } })
  t.notMatch(shown, SECRETS)
  login.answer(503)
  const flow = await publish(shop, [{ ...STEP, id: 'later' }])
  await shop.send('order.created', { id: 8 })
  await shop.run()
  const waiting = (await shop.executions(flow))[0]
  t.match(waiting, { status: 'waiting', reason: 'retry' })
  t.equal(api.received.length, 0)
  say('token-of-the-server-0006')
  shop.pass(60_000)
  await shop.run()
  t.match((await shop.executions(flow))[0], { status: 'completed' })
})

t.test('a connection that is gone, or not for this host any more, fails the step', async (t) => {
  const shop = await shopWith('bearer', { token: 'token-of-the-shop-0001' })
  const flow = await publish(shop, [STEP])
  const values = { token: 'token-of-the-shop-0001' }
  await shop.tenant.patch('/api/connections/scores', { hosts: ['elsewhere.example.com'], values })
  t.match((await runFlow(shop, flow)).step, { error: { code: 'connection_host_refused' } })
  await shop.tenant.delete('/api/connections/scores?force=true')
  t.match((await runFlow(shop, flow)).step, { error: { code: 'connection_not_found' } })
  t.equal(api.received.length, 0)
})

t.test('the test mode calls nobody, and opens nothing', async (t) => {
  const shop = await shopWith('oauth2_client_credentials', OAUTH, OAUTH_SETTINGS)
  const definition = { name: 'x', triggers: [{ type: 'manual' }], steps: [STEP] }
  const tried = await shop.tenant.post('/api/automation/flows/test', { definition, data: {} })
  t.match(tried.json(), { steps: [{ status: 'simulated', input: { connection: 'scores' } }] }, tried.body)
  t.equal(login.received.length + api.received.length, 0)
})
