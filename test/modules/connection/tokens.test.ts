import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { createEgress, type EgressRequest } from '#infra/egress/index.ts'
import { newId } from '#lib/ids.ts'
import { TokenCache, type TokenClient } from '#modules/connection/tokens.ts'
import { startReceiver } from '#test/support/receiver.ts'

const egress = createEgress({ allow: [{ cidr: '127.0.0.0/8' }], dnsServers: [], httpsOnly: false })
t.teardown(() => egress.close())
const TIMEOUT_MS = 30_000

async function start(t: Test) {
  const server = await startReceiver(t)
  let nowMs = 0
  const client: TokenClient = {
    tenantId: newId(),
    connectionId: newId(),
    revision: 1,
    tokenUrl: `${server.url}/token`,
    clientId: 'the client',
    clientSecret: 'secret/of:the-client',
    scope: null,
    audience: null,
    auth: 'basic',
  }
  let count = 0
  const say = (members: object): void =>
    server.answer((_, response) => json(response, 200, { access_token: `token-${++count}`, ...members }))
  say({ token_type: 'Bearer', expires_in: 600 })
  return {
    server,
    client,
    say,
    tokens: new TokenCache(egress, () => nowMs),
    pass: (ms: number) => void (nowMs += ms),
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

t.test('a token is used until shortly before it ends', async (t) => {
  const { server, client, tokens, pass } = await start(t)
  t.equal(await tokens.get(client, TIMEOUT_MS), 'token-1')
  pass(539_000)
  t.equal(await tokens.get(client, TIMEOUT_MS), 'token-1')
  pass(2_000)
  t.equal(await tokens.get(client, TIMEOUT_MS), 'token-2', 'a minute before its end')
  t.equal(server.received.length, 2)
  const changed = { ...client, revision: 2 }
  t.equal(await tokens.get(changed, TIMEOUT_MS), 'token-3', 'the connection was changed')
  t.equal(await tokens.get(changed, TIMEOUT_MS, 'token-3'), 'token-4', 'it was refused')
  t.equal(await tokens.get(changed, TIMEOUT_MS, 'token-3'), 'token-4', 'by somebody else as well')
  t.equal(await tokens.get(client, TIMEOUT_MS), 'token-5', 'not the token of another revision')
  t.equal(await tokens.get(changed, TIMEOUT_MS), 'token-4', 'which one that comes late does not replace')
  t.equal(await tokens.get({ ...client, connectionId: newId() }, TIMEOUT_MS), 'token-6', 'another connection')
})

t.test('a short life, a life as text and none that is said', async (t) => {
  const { client, tokens, pass, say } = await start(t)
  say({ expires_in: '10' })
  t.equal(await tokens.get(client, TIMEOUT_MS), 'token-1')
  pass(7_900)
  t.equal(await tokens.get(client, TIMEOUT_MS), 'token-1')
  pass(200)
  say({})
  t.equal(await tokens.get(client, TIMEOUT_MS), 'token-2')
  pass(200_000)
  t.equal(await tokens.get(client, TIMEOUT_MS), 'token-2')
  pass(50_000)
  t.equal(await tokens.get(client, TIMEOUT_MS), 'token-3')
})

t.test('one request at a time, whoever waits for it', async (t) => {
  const { server, client, tokens } = await start(t)
  const held = Promise.withResolvers<ServerResponse>()
  server.answer((_, response) => held.resolve(response))
  const all = Promise.all(Array.from({ length: 50 }, () => tokens.get(client, TIMEOUT_MS)))
  json(await held.promise, 200, { access_token: 'the-one', expires_in: 60 })
  t.strictSame(new Set(await all), new Set(['the-one']))
  t.equal(server.received.length, 1)
})

t.test('each waits as long as it may, and the request goes on for the others', async (t) => {
  const { server, client, tokens } = await start(t)
  const held = Promise.withResolvers<ServerResponse>()
  server.answer((_, response) => held.resolve(response))
  const hurried = tokens.get(client, 1)
  const patient = tokens.get(client, TIMEOUT_MS)
  t.match(await hurried, {
    code: 'connection_token_failed',
    message: 'The connection got no token: No complete answer within 1 ms.',
    status: null,
    networkCode: 'timeout',
    transient: true,
  })
  json(await held.promise, 200, { access_token: 'the-one', expires_in: 60 })
  t.equal(await patient, 'the-one')
  t.equal(await tokens.get(client, TIMEOUT_MS), 'the-one')
  t.equal(server.received.length, 1)
})

t.test('a change while a token is asked for asks for another one', async (t) => {
  const { server, client, tokens } = await start(t)
  const held = Promise.withResolvers<ServerResponse>()
  server.answer((_, response) => held.resolve(response))
  const before = tokens.get(client, TIMEOUT_MS)
  const first = await held.promise
  const changed = { ...client, revision: 2 }
  server.answer((_, response) => json(response, 200, { access_token: 'of-the-change', expires_in: 60 }))
  t.equal(await tokens.get(changed, TIMEOUT_MS), 'of-the-change')
  json(first, 200, { access_token: 'from-before', expires_in: 60 })
  t.equal(await before, 'from-before')
  t.equal(await tokens.get(changed, TIMEOUT_MS), 'of-the-change')
})

t.test('connections to a server of tokens are shared out by tenant', async (t) => {
  const requests: EgressRequest[] = []
  const { client } = await start(t)
  const tokens = new TokenCache({
    request(request) {
      requests.push(request)
      return egress.request(request)
    },
  })
  await tokens.get(client, 1_500)
  t.match(requests, [{ party: client.tenantId, timeoutMs: 10_000 }])
})

t.test('the client says who it is in the header, form-encoded, or in the body', async (t) => {
  const { server, client, tokens } = await start(t)
  await tokens.get({ ...client, scope: 'a b', audience: 'https://api' }, TIMEOUT_MS)
  const [basic] = server.received
  t.equal(basic?.headers['content-type'], 'application/x-www-form-urlencoded')
  t.equal(
    Buffer.from(String(basic?.headers.authorization).slice('Basic '.length), 'base64').toString(),
    'the+client:secret%2Fof%3Athe-client',
  )
  t.equal(basic?.body, 'grant_type=client_credentials&scope=a+b&audience=https%3A%2F%2Fapi')
  await tokens.get({ ...client, connectionId: newId(), auth: 'body' }, TIMEOUT_MS)
  t.equal(server.received[1]?.headers.authorization, undefined)
  t.match(server.received[1]?.body, /client_id=the\+client&client_secret=secret%2Fof%3Athe-client$/)
})

t.test('an error says why, without the secret, and whether it may pass', async (t) => {
  const { server, client, tokens } = await start(t)
  server.answer((_, response) =>
    json(response, 401, { error: 'invalid_client', error_description: `not ${client.clientSecret}` }),
  )
  t.match(await tokens.get(client, TIMEOUT_MS), {
    code: 'connection_token_failed',
    message: 'The connection got no token: invalid_client: not [redacted].',
    status: 401,
    transient: false,
  })
  server.answer((_, response) => response.writeHead(503, { 'retry-after': '7' }).end())
  t.match(await tokens.get(client, TIMEOUT_MS), { status: 503, transient: true, retryAfterMs: 7_000 })
  for (const body of [
    '',
    '[]',
    '{"access_token":7}',
    '{"access_token":"two\\nlines"}',
    '{"expires_in":60}',
  ]) {
    server.answer((_, response) => response.end(body))
    t.match(await tokens.get(client, TIMEOUT_MS), { message: /no access_token/, transient: false }, body)
  }
  await server.close()
  t.match(await tokens.get(client, TIMEOUT_MS), { status: null, transient: true })
})
