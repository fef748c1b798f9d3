import { createHmac } from 'node:crypto'
import t from 'tap'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import type { HookVerification, Trigger } from '#lib/flow/types.ts'
import { type Shop, startWorld } from '#test/modules/flow-engine/support.ts'
import { activate } from './support.ts'

const world = await startWorld(t, {
  FLOW_MAX_STARTS_PER_MINUTE: '1000',
  CORS_ORIGINS: 'https://console.example.com',
})
const { app, db } = world
const origin = await app.listen({ port: 0, host: '127.0.0.1' })
const SECRET = 'secret-of-the-other-side'
const OLDER = 'older-secret-of-the-other-side'
const SEALED = { secret: SECRET, previous_secret: OLDER, verify_token: 'agreed-token-of-meta' }

type Sent = Record<string, string>
type Digest = (secret: string, text: string, algorithm?: string) => { hex: string; base64: string }

/** As each vendor's documentation prints it. */
const digest: Digest = (secret, text, algorithm = 'sha256') => {
  const bytes = createHmac(algorithm, secret).update(text).digest()
  return { hex: bytes.toString('hex'), base64: bytes.toString('base64') }
}

async function opened(
  verify: Omit<HookVerification, 'connection'> | null,
  rest: object = {},
  values: Sent = SEALED,
): Promise<{ shop: Shop; flow: string; url: string }> {
  const shop = await world.shop()
  const made = await shop.tenant.post('/api/connections', { name: 'inbound', kind: 'webhook_secret', values })
  if (made.statusCode !== 201) throw new Error(made.body)
  const trigger: Trigger = { id: 'trigger_1', type: 'webhook', filter: null, ...rest }
  if (verify !== null) Object.assign(trigger, { verify: { ...verify, connection: 'inbound' } })
  const flow = await activate(world, shop, [trigger], new Date())
  const states = await app.flowTriggers.describe(db, shop.tenant.id, [flow])
  return { shop, flow, url: origin + (states.get(flow)?.inlets[0]?.url ?? '') }
}

async function send(
  url: string,
  body: string,
  headers: Sent,
): Promise<{ status: number; text: string; json: Record<string, unknown>; headers: Headers }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  })
  const text = await response.text()
  const isJson = /json/.test(response.headers.get('content-type') ?? '')
  const json = (isJson ? JSON.parse(text) : {}) as Record<string, unknown>
  return { status: response.status, text, json, headers: response.headers }
}

const seconds = (): number => Math.floor(Date.now() / 1_000)

interface SchemeCase {
  verify: Omit<HookVerification, 'connection'>
  /** Of the scheme's header, signed with the secret at a time. */
  sign: (body: string, secret: string, at: number, id: string) => Sent
  header: string
  body: (id: string) => string
  timed: boolean
  /** By what a delivery is known. */
  known: 'id' | 'bytes' | null
}

const json = (id: string): string => JSON.stringify({ id, event_id: id, n: 1.5, text: 'Grüße' })
const HMAC = {
  header: 'x-signature',
  algorithm: 'sha512',
  encoding: 'base64',
  prefix: 'sig=',
  signed: 'v1:{id}:{timestamp}:{body}',
  timestamp_header: 'x-sent-at',
  id_header: 'x-delivery',
} as const

const CASES: Record<string, SchemeCase> = {
  shopify: {
    verify: { scheme: 'shopify' },
    sign: (body, secret, _at, id) => ({
      'X-Shopify-Hmac-SHA256': digest(secret, body).base64,
      'X-Shopify-Webhook-Id': id,
      'X-Shopify-Topic': 'orders/create',
    }),
    header: 'x-shopify-hmac-sha256',
    body: json,
    timed: false,
    known: 'id',
  },
  stripe: {
    verify: { scheme: 'stripe' },
    sign: (body, secret, at) => ({
      'Stripe-Signature': `t=${at},v0=${digest('x', body).hex},v1=${digest(secret, `${at}.${body}`).hex}`,
    }),
    header: 'stripe-signature',
    body: json,
    timed: true,
    known: 'id',
  },
  github: {
    verify: { scheme: 'github' },
    sign: (body, secret, _at, id) => ({
      'X-Hub-Signature-256': `sha256=${digest(secret, body).hex}`,
      'X-GitHub-Delivery': id,
      'X-GitHub-Event': 'push',
    }),
    header: 'x-hub-signature-256',
    body: json,
    timed: false,
    known: 'id',
  },
  slack: {
    verify: { scheme: 'slack' },
    sign: (body, secret, at) => ({
      'X-Slack-Request-Timestamp': String(at),
      'X-Slack-Signature': `v0=${digest(secret, `v0:${at}:${body}`).hex}`,
    }),
    header: 'x-slack-signature',
    body: json,
    timed: true,
    known: 'id',
  },
  woocommerce: {
    verify: { scheme: 'woocommerce' },
    sign: (body, secret, _at, id) => ({
      'X-WC-Webhook-Signature': digest(secret, body).base64,
      'X-WC-Webhook-Delivery-ID': id,
    }),
    header: 'x-wc-webhook-signature',
    body: json,
    timed: false,
    known: 'bytes',
  },
  meta: {
    verify: { scheme: 'meta' },
    sign: (body, secret) => ({ 'X-Hub-Signature-256': `sha256=${digest(secret, body).hex}` }),
    header: 'x-hub-signature-256',
    body: json,
    timed: false,
    known: 'bytes',
  },
  websub: {
    verify: { scheme: 'websub' },
    sign: (body, secret) => ({ 'X-Hub-Signature': `sha1=${digest(secret, body, 'sha1').hex}` }),
    header: 'x-hub-signature',
    body: json,
    timed: false,
    known: null,
  },
  standard_webhooks: {
    verify: { scheme: 'standard_webhooks' },
    sign: (body, secret, at, id) => ({
      'webhook-id': id,
      'webhook-timestamp': String(at),
      'webhook-signature': `v1a,${'x'.repeat(88)} v1,${digest(secret, `${id}.${at}.${body}`).base64}`,
    }),
    header: 'webhook-signature',
    body: json,
    timed: true,
    known: 'id',
  },
  hmac: {
    verify: { scheme: 'hmac', hmac: HMAC },
    sign: (body, secret, at, id) => ({
      'X-Signature': `sig=${digest(secret, `v1:${id}:${at}:${body}`, 'sha512').base64}`,
      'X-Sent-At': String(at),
      'X-Delivery': id,
    }),
    header: 'x-signature',
    body: json,
    timed: true,
    known: 'id',
  },
}

for (const [name, { verify, sign, header, body, timed, known }] of Object.entries(CASES)) {
  t.test(`${name}: what is signed is taken, by either secret, and a delivery once`, async (t) => {
    const { shop, flow, url } = await opened(verify)
    const at = seconds()
    const first = await send(url, body('evt-1'), sign(body('evt-1'), SECRET, at, 'evt-1'))
    t.match(first, { status: 202, json: { status: 'queued' } }, first.text)
    const older = await send(url, body('evt-2'), sign(body('evt-2'), OLDER, at, 'evt-2'))
    t.match(older, { status: 202, json: { status: 'queued' } }, older.text)
    // An attempt later it is signed anew, and may count in its body.
    const again = JSON.stringify({ ...(JSON.parse(body('evt-1')) as object), pending_webhooks: 1 })
    const replay = await send(url, again, sign(again, SECRET, at + 1, 'evt-1'))
    t.equal(replay.status, 202)
    t.equal(replay.json['execution_id'] === first.json['execution_id'], known === 'id')
    const same = await send(url, body('evt-1'), sign(body('evt-1'), SECRET, at, 'evt-1'))
    t.equal(same.json['execution_id'] === first.json['execution_id'], known !== null)
    t.equal((await shop.executions(flow)).length, known === 'id' ? 2 : known === 'bytes' ? 3 : 4)
  })

  t.test(`${name}: what does not verify starts nothing, and says which header and why`, async (t) => {
    const { shop, flow, url } = await opened(verify)
    const at = seconds()
    const good = sign(body('evt-1'), SECRET, at, 'evt-1')
    const named = Object.keys(good).find((each) => each.toLowerCase() === header) ?? ''
    const { [named]: value = '', ...unsigned } = good
    const flip = value.replace(/.(?=.{5}$)/, (digit) => (digit === 'a' ? 'b' : 'a'))
    const cases: [why: string, body: string, headers: Sent, detail: RegExp][] = [
      [
        'another secret',
        body('evt-1'),
        sign(body('evt-1'), 'another-secret-altogether', at, 'evt-1'),
        /does not match/,
      ],
      ['another body', body('evt-1').replace('1.5', '1.50'), good, /does not match/],
      ['no body', '', good, /does not match/],
      ['no signature', body('evt-1'), unsigned, /is missing/],
      ['a changed signature', body('evt-1'), { ...unsigned, [named]: flip }, /does not match/],
      ['a cut signature', body('evt-1'), { ...unsigned, [named]: value.slice(0, -4) }, /does not match/],
      ['nonsense', '{not json', { ...unsigned, [named]: '\u00e9' }, /form|match/],
      ['a long one', body('evt-1'), { ...unsigned, [named]: 'x'.repeat(5_000) }, /at most 4096/],
    ]
    if (timed) {
      cases.push(
        ['a replay', body('evt-1'), sign(body('evt-1'), SECRET, at - 400, 'evt-1'), /300 seconds before/],
        [
          'one of tomorrow',
          body('evt-1'),
          sign(body('evt-1'), SECRET, at + 86_400, 'evt-1'),
          /300 seconds after/,
        ],
      )
    }
    for (const [why, sent, headers, detail] of cases) {
      const answer = await send(url, sent, headers)
      t.match(answer, { status: 401, json: { code: 'inlet_unverified' } }, `${why}: ${answer.text}`)
      t.match(answer.json['errors'], [{ pointer: /^\/headers\/[a-z0-9-]+$/, detail }], why)
      for (const expected of [digest(SECRET, sent), digest(SECRET, sent, 'sha1')]) {
        t.notOk(answer.text.includes(expected.hex) || answer.text.includes(expected.base64), why)
      }
      t.notMatch(answer.text, /secret-of-the-other-side/)
    }
    t.strictSame(await shop.executions(flow), [])
    t.match(await send(url, body('evt-1'), good), { status: 202, json: { status: 'queued' } })
  })
}

t.test('the libraries of Standard Webhooks and Svix sign what is taken', async (t) => {
  const secret = `whsec_${Buffer.from('a key of thirty-two bytes, no less').toString('base64')}`
  for (const values of [{ secret }, { secret: secret.slice('whsec_'.length) }]) {
    const { shop, flow, url } = await opened({ scheme: 'standard_webhooks' }, {}, values)
    const at = new Date()
    const body = '{"type":"invoice.paid"}'
    const standard = {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'webhook-signature': new StandardWebhook(secret).sign('msg_1', at, body),
    }
    t.match(await send(url, body, standard), { status: 202, json: { status: 'queued' } })
    const svix = {
      'svix-id': 'msg_2',
      'svix-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'svix-signature': new SvixWebhook(secret).sign('msg_2', at, body),
    }
    const first = await send(url, body, svix)
    t.match(first, { status: 202, json: { status: 'queued' } })
    t.same((await send(url, body, svix)).json, first.json)
    t.match(await send(url, `${body} `, svix), { status: 401 })
    t.equal((await shop.executions(flow)).length, 2)
  }
})

t.test('WooCommerce gives two orders of one second one id, and both start', async (t) => {
  const { shop, flow, url } = await opened({ scheme: 'woocommerce' })
  const signed = (body: string): Sent => CASES['woocommerce']?.sign(body, SECRET, 0, 'd-1') ?? {}
  const [one, other] = ['{"id":1}', '{"id":2}']
  const first = await send(url, one, signed(one))
  t.match(await send(url, other, signed(other)), { status: 202, json: { status: 'queued' } })
  t.same((await send(url, one, signed(one))).json, first.json)
  t.equal((await shop.executions(flow)).length, 2)
})

t.test('Meta’s notification is known by its signature, however that is spelt', async (t) => {
  const { shop, flow, url } = await opened({ scheme: 'meta' })
  const { hex } = digest(SECRET, '{"entry":[]}')
  const first = await send(url, '{"entry":[]}', { 'x-hub-signature-256': `sha256=${hex}` })
  const again = await send(url, '{"entry":[]}', { 'x-hub-signature-256': `sha256=${hex.toUpperCase()}` })
  t.same(again.json, first.json)
  t.equal((await shop.executions(flow)).length, 1)
})

t.test('GitHub’s own example of a signature is taken', async (t) => {
  // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
  const { url } = await opened({ scheme: 'github' }, {}, { secret: "It's a Secret to Everybody" })
  const signature = '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'
  const answer = await send(url, 'Hello, World!', {
    'content-type': 'text/plain',
    'x-hub-signature-256': `sha256=${signature}`,
  })
  t.match(answer, { status: 202, json: { status: 'queued' } })
})

t.test('Slack’s own example of a signature is one, and too old', async (t) => {
  // https://docs.slack.dev/authentication/verifying-requests-from-slack
  const body =
    'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c'
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    'x-slack-request-timestamp': '1531420618',
    'x-slack-signature': 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
  }
  const values = { secret: '8f742231b10e8888abcd99yyyzzz85a5' }
  const { url } = await opened({ scheme: 'slack' }, {}, values)
  t.match((await send(url, body, headers)).json['errors'], [
    { pointer: '/headers/x-slack-request-timestamp' },
  ])
  const patient = await opened({ scheme: 'slack', tolerance_seconds: 1e10 }, {}, values)
  t.match(await send(patient.url, body, headers), { status: 202, json: { status: 'queued' } })
  t.match(await patient.shop.executions(patient.flow), [
    { trigger: { data: { command: '/webhook-collect' } } },
  ])
})

t.test('Slack’s question is answered, if it is signed', async (t) => {
  const { shop, flow, url } = await opened({ scheme: 'slack' })
  const body = JSON.stringify({ type: 'url_verification', token: 'x', challenge: '3eZbrw1aB10FEMAGAZd4FyFQ' })
  const signed = CASES['slack']?.sign(body, SECRET, seconds(), '') ?? {}
  const answer = await send(url, body, signed)
  t.match(answer, { status: 200, text: '3eZbrw1aB10FEMAGAZd4FyFQ' })
  t.match(answer.headers.get('content-type'), /text\/plain/)
  t.match(answer.headers.get('content-security-policy'), /sandbox/)
  t.match(await send(url, body, {}), { status: 401 })
  t.strictSame(await shop.executions(flow), [])
  const other = await opened(null)
  t.match(await send(other.url, body, {}), { status: 202, json: { status: 'queued' } }, 'of its scheme alone')
})

t.test('a ping of GitHub and of WooCommerce is answered, and starts nothing', async (t) => {
  const github = await opened({ scheme: 'github' })
  const zen = '{"zen":"Keep it logically awesome."}'
  const signed = { ...CASES['github']?.sign(zen, SECRET, 0, 'd-1'), 'X-GitHub-Event': 'ping' }
  t.match(await send(github.url, zen, signed), { status: 200, text: 'pong' })
  t.match(await send(github.url, `${zen} `, signed), { status: 401 })
  const woo = await opened({ scheme: 'woocommerce' })
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  t.match(await send(woo.url, 'webhook_id=12', form), { status: 200, text: 'ok' })
  t.match(await send(woo.url, 'webhook_id=12&a=1', form), { status: 401 })
  t.match(await send(woo.url, 'webhook_id=12', { ...form, 'x-wc-webhook-signature': 'eA==' }), {
    status: 401,
  })
  for (const { shop, flow } of [github, woo]) t.strictSame(await shop.executions(flow), [])
})

t.test('Meta and WebSub ask by GET, and are answered if they say what was agreed on', async (t) => {
  const ask = async (
    url: string,
    query: Sent,
  ): Promise<{ status: number; text: string; type: string | null }> => {
    const response = await fetch(`${url}?${new URLSearchParams(query).toString()}`)
    return {
      status: response.status,
      text: await response.text(),
      type: response.headers.get('content-type'),
    }
  }
  const meta = await opened({ scheme: 'meta' })
  const question = {
    'hub.mode': 'subscribe',
    'hub.verify_token': 'agreed-token-of-meta',
    'hub.challenge': '1158201444',
  }
  t.match(await ask(meta.url, question), { status: 200, text: '1158201444', type: /text\/plain/ })
  for (const [wrong, pointer] of [
    [{ 'hub.verify_token': 'another' }, 'hub.verify_token'],
    [{ 'hub.mode': 'unsubscribe' }, 'hub.mode'],
    [{ 'hub.challenge': '' }, 'hub.challenge'],
    [{ 'hub.challenge': '<script>'.repeat(200) }, 'hub.challenge'],
  ] as const) {
    const answer = await ask(meta.url, { ...question, ...wrong })
    t.equal(answer.status, 401)
    t.match(JSON.parse(answer.text), { code: 'inlet_unverified', errors: [{ pointer: `/query/${pointer}` }] })
    t.notMatch(answer.text, /agreed-token/)
  }
  const without = await opened({ scheme: 'meta' }, {}, { secret: SECRET })
  t.equal((await ask(without.url, { ...question, 'hub.verify_token': '' })).status, 401)

  const topic = 'https://blog.example.com/feed'
  const websub = await opened({ scheme: 'websub', topic })
  const subscribe = {
    'hub.mode': 'subscribe',
    'hub.topic': topic,
    'hub.challenge': 'c-1',
    'hub.lease_seconds': '9',
  }
  t.match(await ask(websub.url, subscribe), { status: 200, text: 'c-1' })
  t.match(await ask(websub.url, { ...subscribe, 'hub.mode': 'unsubscribe' }), { status: 200, text: 'c-1' })
  t.match(await ask(websub.url, { ...subscribe, 'hub.topic': 'https://other.example.com' }), { status: 401 })
  t.match(await ask(websub.url, { 'hub.challenge': 'c-1' }), { status: 401 })
  t.match(await ask(websub.url, {}), { status: 200, text: 'ok' }, 'who only looks whether it is there')
  t.equal((await ask(`${origin}/hooks/${'A'.repeat(43)}`, question)).status, 404)
})

t.test('CloudEvents senders ask by OPTIONS, and send with the token', async (t) => {
  const { shop, flow, url } = await opened({ scheme: 'cloudevents' })
  const asked = await fetch(url, {
    method: 'OPTIONS',
    headers: { 'webhook-request-origin': 'eventemitter.example.com', 'webhook-request-rate': '120' },
  })
  t.equal(asked.status, 200)
  t.equal(asked.headers.get('webhook-allowed-origin'), 'eventemitter.example.com')
  t.equal(asked.headers.get('webhook-allowed-rate'), '600')
  const event = { specversion: '1.0', id: 'e-1', source: '/orders', type: 'order.paid', data: { n: 1 } }
  const structured = { 'content-type': 'application/cloudevents+json' }
  const bearer = { authorization: `Bearer ${SECRET}` }
  const first = await send(url, JSON.stringify(event), { ...structured, ...bearer })
  t.match(first, { status: 202, json: { status: 'queued' } })
  const binary = { 'ce-id': 'e-1', 'ce-source': '/orders', 'ce-type': 'order.paid', 'ce-specversion': '1.0' }
  t.same((await send(url, '{"n":1}', { ...binary, ...bearer })).json, first.json, 'the same event')
  t.match(await send(`${url}?access_token=${OLDER}`, '{"n":2}', { ...binary, 'ce-id': 'e-2' }), {
    status: 202,
  })
  t.match(await send(url, '{"n":2}', binary), { status: 401 })
  t.match(await send(url, '{"n":2}', { ...binary, authorization: 'Bearer other' }), { status: 401 })
  t.match(await send(`${url}?access_token=other`, '{"n":2}', binary), { status: 401 })
  const executions = await shop.executions(flow)
  t.equal(executions.length, 2)
  t.notMatch(JSON.stringify(executions), /secret-of-the-other-side/)
  const plain = await opened(null)
  t.equal((await fetch(plain.url, { method: 'OPTIONS' })).status, 405)
  for (const each of [url, plain.url]) {
    const preflight = await app.inject({
      method: 'OPTIONS',
      url: new URL(each).pathname,
      headers: { origin: 'https://console.example.com', 'access-control-request-method': 'POST' },
    })
    t.equal(preflight.statusCode, 204, 'a browser asks as it does anywhere')
    t.equal(preflight.headers['access-control-allow-origin'], 'https://console.example.com')
  }
})

t.test(
  'two inlets of one flow are asked each by its own scheme, and so are those of two flows',
  async (t) => {
    const shop = await world.shop()
    const secrets = { meta: 'first-token', cloud: 'second-token' }
    for (const [name, token] of Object.entries(secrets)) {
      const values = { secret: `${token}-secret`, verify_token: token }
      const made = await shop.tenant.post('/api/connections', { name, kind: 'webhook_secret', values })
      t.equal(made.statusCode, 201, made.body)
    }
    const trigger = (id: string, verify: HookVerification): Trigger => ({
      ...{ id, type: 'webhook', filter: null },
      verify,
    })
    const meta = trigger('trigger_1', { scheme: 'meta', connection: 'meta' })
    const cloud = trigger('trigger_2', { scheme: 'cloudevents', connection: 'cloud' })
    const two = await activate(world, shop, [meta, cloud], new Date())
    const swapped = await activate(
      world,
      shop,
      [
        { ...meta, id: 'trigger_2', verify: { scheme: 'meta', connection: 'cloud' } },
        { ...cloud, id: 'trigger_1', verify: { scheme: 'cloudevents', connection: 'meta' } },
      ] as Trigger[],
      new Date(),
    )
    const states = await app.flowTriggers.describe(db, shop.tenant.id, [two, swapped])
    const urlOf = (flow: string, id: string): string =>
      origin + (states.get(flow)?.inlets.find(({ trigger_id }) => trigger_id === id)?.url ?? '')
    const get = async (url: string, token: string): Promise<string> => {
      const query = { 'hub.mode': 'subscribe', 'hub.verify_token': token, 'hub.challenge': `c-${token}` }
      const response = await fetch(`${url}?${new URLSearchParams(query).toString()}`)
      return `${response.status} ${response.ok ? await response.text() : response.headers.get('allow')}`
    }
    const options = async (url: string): Promise<string> => {
      const headers = { 'webhook-request-origin': 'sender.example.com' }
      const response = await fetch(url, { method: 'OPTIONS', headers })
      const told = response.headers.get('webhook-allowed-origin')
      return `${response.status} ${response.headers.get('allow')} ${told}`
    }
    const inlets = [
      { url: urlOf(two, 'trigger_1'), own: secrets.meta, other: secrets.cloud },
      { url: urlOf(swapped, 'trigger_2'), own: secrets.cloud, other: secrets.meta },
    ]
    for (const { url, own, other } of inlets) {
      t.equal(await get(url, own), `200 c-${own}`)
      t.equal(await get(url, other), '401 null', 'the token of the other inlet is none here')
      t.equal(await options(url), '405 POST, GET, HEAD null')
    }
    const senders = [
      { url: urlOf(two, 'trigger_2'), flow: two, own: secrets.cloud, other: secrets.meta },
      { url: urlOf(swapped, 'trigger_1'), flow: swapped, own: secrets.meta, other: secrets.cloud },
    ]
    for (const { url, flow, own, other } of senders) {
      t.equal(await options(url), '200 POST, GET, HEAD, OPTIONS sender.example.com')
      t.equal(await get(url, own), '200 ok')
      const event = { 'ce-id': 'e-1', 'ce-source': '/a', 'ce-type': 'b', 'ce-specversion': '1.0' }
      const bearer = (token: string): Sent => ({ ...event, authorization: `Bearer ${token}-secret` })
      t.match(await send(url, '{}', bearer(other)), { status: 401 })
      t.match(await send(url, '{}', bearer(own)), { status: 202, json: { status: 'queued' } })
      t.equal((await shop.executions(flow)).length, 1)
    }
    const [url = ''] = inlets.map((inlet) => inlet.url)
    const token = url.slice(-43)
    const swapCase = (character: string): string =>
      character === character.toLowerCase() ? character.toUpperCase() : character.toLowerCase()
    const similar = [
      token.replace(/[a-z]/i, swapCase),
      token.slice(0, -1),
      `${token}A`,
      `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`,
    ]
    for (const near of similar) {
      const nearUrl = `${origin}/hooks/${near}`
      t.equal(await get(nearUrl, secrets.meta), '404 null', near)
      t.equal(await options(nearUrl), '404 null null')
    }
  },
)

t.test(
  'a secret that is changed holds at once; one that is gone refuses all, to be sent again',
  async (t) => {
    const { shop, flow, url } = await opened({ scheme: 'github' })
    const sign = (secret: string): Sent => CASES['github']?.sign('{}', secret, 0, secret) ?? {}
    t.match(await send(url, '{}', sign(SECRET)), { status: 202 })
    const changed = await shop.tenant.patch('/api/connections/inbound', {
      values: { secret: 'the-next-secret' },
    })
    t.equal(changed.statusCode, 200)
    t.match(await send(url, '{}', sign(OLDER)), { status: 401 })
    t.match(await send(url, '{}', sign('the-next-secret')), { status: 202 })
    t.equal((await shop.tenant.delete('/api/connections/inbound?force=true')).statusCode, 204)
    const gone = await send(url, '{}', sign('the-next-secret'))
    t.match(gone, { status: 503, json: { code: 'inlet_unready' } })
    t.equal(gone.headers.get('retry-after'), '60')
    await shop.tenant.post('/api/connections', {
      name: 'inbound',
      kind: 'bearer',
      hosts: ['a.example.com'],
      values: { token: SECRET },
    })
    t.match(await send(url, '{}', sign(SECRET)), { status: 503 }, 'of another kind')
    t.equal((await shop.executions(flow)).length, 2)
  },
)

t.test('the answer is the trigger’s, also for a delivery that came before', async (t) => {
  const xml = { status: 200, content_type: 'text/xml', body: '<Response/>' } as const
  const { url } = await opened({ scheme: 'github' }, { answer: xml })
  const signed = CASES['github']?.sign('{}', SECRET, 0, 'd-1') ?? {}
  for (let n = 0; n < 2; n++) {
    const answer = await send(url, '{}', signed)
    t.match(answer, { status: 200, text: '<Response/>' })
    t.match(answer.headers.get('content-type'), /^text\/xml/)
    t.match(answer.headers.get('content-security-policy'), /sandbox/)
    t.equal(answer.headers.get('x-content-type-options'), 'nosniff')
  }
  t.match(await send(url, '{}', {}), { status: 401, json: { code: 'inlet_unverified' } })
  const empty = await opened(null, { answer: { status: 204, content_type: 'text/plain', body: '' } })
  t.match(await send(empty.url, '{}', {}), { status: 204, text: '' })
  const json = await opened(null, {
    answer: { status: 202, content_type: 'application/json', body: '{"ok":true}' },
  })
  t.match(await send(json.url, '{}', {}), { status: 202, json: { ok: true } })
})

t.test('who does not know the URL is told so before the body, signed or not', async (t) => {
  const { url } = await opened({ scheme: 'github' })
  const unknown = await send(url.replace(/[^/]+$/, 'B'.repeat(43)), '{not json', {})
  t.match(unknown, { status: 404, json: { code: 'inlet_not_found' } })
})
