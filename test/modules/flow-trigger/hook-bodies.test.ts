import t from 'tap'
import fc from 'fast-check'
import { sql } from 'kysely'
import type { Condition } from '#lib/condition/index.ts'
import type { Trigger } from '#lib/flow/types.ts'
import { flowOf, type Shop, startWorld, step } from '#test/modules/flow-engine/support.ts'
import { activate, sync } from './support.ts'

const world = await startWorld(t, { FLOW_MAX_STARTS_PER_MINUTE: '1000' })
const { app, db } = world
const origin = await app.listen({ port: 0, host: '127.0.0.1' })
const NOW = new Date()

function webhook(rest: object = {}): Trigger {
  return { id: 'trigger_1', type: 'webhook', filter: null, ...rest }
}

async function pathOf(shop: Shop, flowId: string): Promise<string> {
  const states = await app.flowTriggers.describe(db, shop.tenant.id, [flowId])
  return states.get(flowId)?.inlets[0]?.url ?? ''
}

async function opened(trigger: Trigger = webhook()): Promise<{ shop: Shop; flow: string; url: string }> {
  const shop = await world.shop()
  const flow = await activate(world, shop, [trigger], NOW)
  return { shop, flow, url: origin + (await pathOf(shop, flow)) }
}

async function post(
  url: string,
  type: string | null,
  body: string | Uint8Array | FormData | URLSearchParams,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...(type !== null && { 'content-type': type }), ...headers },
    body: body as string,
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

async function stored(shop: Shop, flow: string): Promise<{ data: unknown; request?: unknown }[]> {
  const executions = await shop.executions(flow)
  return executions.map(({ trigger }) => trigger as { data: unknown })
}

t.test('JSON of any name, forms, multipart and text start the flow', async (t) => {
  const { shop, flow, url } = await opened()
  const multipart = new FormData()
  multipart.append('email', 'rui@example.com')
  multipart.append('tag', 'a')
  multipart.append('tag', 'ß')
  multipart.append('photo', new Blob([new Uint8Array(5_000)], { type: 'image/png' }), 'me.png')
  const cases: [type: string | null, body: string | FormData | URLSearchParams, data: unknown][] = [
    ['application/json', '{"a":1}', { a: 1 }],
    ['application/ld+json; charset=utf-8', '{"a":[1,2]}', { a: [1, 2] }],
    ['application/vnd.api+json', '"text"', 'text'],
    ['application/x-www-form-urlencoded', 'a=1&b=x+y&b=%C3%9F&c', { a: '1', b: ['x y', 'ß'], c: '' }],
    [null, new URLSearchParams({ 'payload[id]': '7' }), { 'payload[id]': '7' }],
    ['application/x-www-form-urlencoded; charset=ISO-8859-1', 'a=b', { a: 'b' }],
    ['text/plain', 'Hello\n{not json', 'Hello\n{not json'],
    ['text/csv; charset=utf-8', 'a,b\n1,2', 'a,b\n1,2'],
    ['text/xml', '<a/>', '<a/>'],
    ['application/xml', '<b/>', '<b/>'],
    ['application/atom+xml; charset=utf-8', '<feed/>', '<feed/>'],
    ['application/rss+xml', '<rss/>', '<rss/>'],
    ['application/vnd.a+hal+json', '{"hal":1}', { hal: 1 }],
    ['text/csv; charset=iso-8859-1', 'c,d\r\n\t3', 'c,d\r\n\t3'],
    [
      null,
      multipart,
      {
        email: 'rui@example.com',
        tag: ['a', 'ß'],
        photo: { filename: 'me.png', content_type: 'image/png', size: 5_000 },
      },
    ],
  ]
  for (const [type, body] of cases) {
    t.match(await post(url, type, body), { status: 202, body: { status: 'queued' } }, String(type))
  }
  const seen = (await stored(shop, flow)).map(({ data }) => JSON.stringify(data)).sort()
  t.same(seen, cases.map(([, , data]) => JSON.stringify(data)).sort())
})

t.test('what is no body of these types is refused, and names what is wrong', async (t) => {
  const { shop, flow, url } = await opened()
  const form = 'application/x-www-form-urlencoded'
  const parts = (...each: string[]): string => each.map((part) => `--b\r\n${part}\r\n`).join('') + '--b--\r\n'
  const part = (name: string, value = ''): string =>
    `content-disposition: form-data; name="${name}"\r\n\r\n${value}`
  const multipart = 'multipart/form-data; boundary=b'
  const cases: [type: string, body: string | Uint8Array, status: number, detail: RegExp][] = [
    ['application/pdf', 'x', 415, /any \+json.*multipart\/form-data.*any \+xml/],
    ['image/png', 'x', 415, /any \+json/],
    ['nonsense', 'x', 415, /any \+json/],
    ['application/problem+jsonp', '{}', 415, /any \+json/],
    ['application/ld+json', '{', 400, /./],
    ['application/ld+json', '{"__proto__":1}', 400, /./],
    [form, '__proto__=1', 400, /__proto__/],
    [form, 'a=%00', 400, /NUL/],
    [form, '%00=a', 400, /NUL/],
    [form, new Uint8Array([0x61, 0x3d, 0xff]), 400, /UTF-8/],
    [form, 'a&'.repeat(1_001), 400, /1000 fields/],
    [form, `${'n'.repeat(256)}=1`, 400, /255 bytes/],
    ['text/plain', 'a\0b', 400, /NUL/],
    ['text/plain', '\u0001'.repeat(1_000), 400, /control character/],
    ['application/xml', '<a>\u001b</a>', 400, /control character/],
    [form, 'a=%01', 400, /control character/],
    [form, '%0b=a', 400, /control character/],
    ['text/plain', new Uint8Array([0xff]), 400, /UTF-8/],
    ['text/plain; charset=klingon', 'a', 400, /klingon/],
    ['multipart/form-data', 'a', 400, /oundary/],
    [multipart, '--b\r\ncontent-disposition: form-data; name="a"\r\n\r\nunfinished', 400, /read/],
    [multipart, parts(part('__proto__', 'x')), 400, /__proto__/],
    [multipart, parts(part('a', 'x\0y')), 400, /NUL/],
    [multipart, parts(part('a', 'x\u0008')), 400, /control character/],
    [multipart, parts(part('n'.repeat(256), 'x')), 400, /255 bytes/],
    [multipart, parts(...Array.from({ length: 1_001 }, () => part('a', '1'))), 400, /1000 fields/],
    [
      multipart,
      parts(...Array.from({ length: 101 }, () => part('a', '1').replace('"a"', '"a"; filename="f"'))),
      400,
      /100 files/,
    ],
    [form, `a=${'x'.repeat(1024 * 1024)}`, 413, /./],
  ]
  for (const [type, body, status, detail] of cases) {
    const answer = await post(url, type, body)
    t.equal(answer.status, status, `${type} ${String(body).slice(0, 30)}: ${JSON.stringify(answer.body)}`)
    t.match(JSON.stringify(answer.body['errors'] ?? answer.body), detail)
  }
  t.strictSame(await shop.executions(flow), [])
})

t.test('no half of a surrogate pair gets into an execution', async (t) => {
  const { shop, flow, url } = await opened()
  const halves = Buffer.from([0x00, 0xd8, 0x61, 0x00])
  const body = Buffer.concat([
    Buffer.from('--b\r\ncontent-disposition: form-data; name="value"\r\n'),
    Buffer.from('content-type: text/plain; charset=utf-16le\r\n\r\n'),
    halves,
    Buffer.from("\r\n--b\r\ncontent-disposition: form-data; name*=utf-16le''%00%d8%61%00\r\n\r\nname"),
    Buffer.from("\r\n--b\r\ncontent-disposition: form-data; name=file; filename*=utf-16le''%00%d8%01%00\r\n"),
    Buffer.from('\r\nfile\r\n--b--\r\n'),
  ])
  t.match(await post(url, 'multipart/form-data; boundary=b', body), { status: 202 })
  const [first] = await stored(shop, flow)
  t.same(first?.data, {
    value: '\ufffda',
    '\ufffda': 'name',
    file: { filename: '\ufffd', content_type: 'text/plain', size: 4 },
  })
  // What erasure does with it.
  await sql`select trigger::json #> '{data,value}' from automation_executions`.execute(db)
})

t.test('a part is taken whatever headers it has', async (t) => {
  const { shop, flow, url } = await opened()
  const many = Array.from({ length: 2_500 }, (_, n) => `x-${n}: 1\r\n`).join('')
  const part = (name: string, before: string): string =>
    `--b\r\n${before}content-disposition: form-data; name="${name}"\r\n\r\n${name}\r\n`
  const body = `${part('many', many)}${part('long', `x-long: ${'x'.repeat(100_000)}\r\n`)}--b--\r\n`
  t.match(await post(url, 'multipart/form-data; boundary=b', body), { status: 202 })
  t.match(await stored(shop, flow), [{ data: { many: 'many', long: 'long' } }])
})

t.test('the trigger has the body, headers of a list and the query beside what it is', async (t) => {
  const { shop, flow, url } = await opened(webhook({ headers: ['x-mine'] }))
  const headers = {
    'x-mine': 'yes',
    'x-other': 'no',
    'x-github-event': 'push',
    'ce-id': 'e-1',
    authorization: 'Bearer secret-of-the-sender',
    cookie: 'session=secret-of-the-sender',
    'x-forwarded-for': '10.0.0.1',
  }
  await post(
    `${url}?a=1&b=x&b=y&access_token=secret-of-the-sender`,
    'application/json',
    '{"n":1.10}',
    headers,
  )
  const [first] = await stored(shop, flow)
  t.match(first, { data: { n: {} } })
  t.match(first?.request, {
    headers: {
      'content-type': 'application/json',
      'x-mine': 'yes',
      'x-github-event': 'push',
      'ce-id': 'e-1',
    },
    query: { a: '1', b: ['x', 'y'] },
  })
  const { request } = first as { request: { headers: object; query: object } }
  t.notMatch(JSON.stringify(first), /secret-of-the-sender|10\.0\.0\.1/)
  t.notOk('x-other' in request.headers || 'access_token' in request.query)
})

t.test('templates and filters read them, and a member of the body goes first', async (t) => {
  const shop = await world.shop()
  const filter: Condition = { field: 'trigger.headers.x-github-event', operator: 'equals', value: 'push' }
  const triggers = [webhook({ filter })]
  const text =
    '{{trigger.n}} {{trigger.body.n}} {{trigger.query.a}} {{trigger.headers.content-type}} {{trigger.query.none | default: "-"}}'
  const say = step({ type: 'set', config: { variables: { text } }, next: { next: 'end' } })
  const flow = await shop.publish(flowOf({ say }, { triggers }))
  await sync(world, shop, flow, triggers, NOW)
  const url = `${origin}${await pathOf(shop, flow)}?a=1`
  const json = 'application/json'
  t.match(await post(url, json, '{"n":1}'), { body: { status: 'filtered' } })
  t.match(await post(url, json, '{"n":1}', { 'x-github-event': 'push' }), { body: { status: 'queued' } })
  // As far as the body has them: what it does not say of a name that it has is missing.
  const own = '{"n":2,"body":{"n":3},"query":{"a":4}}'
  t.match(await post(url, json, own, { 'x-github-event': 'push' }), { body: { status: 'queued' } })
  await shop.run()
  const states = (await shop.executions(flow)).map(({ state }) => JSON.stringify(state)).sort()
  t.match(states, [/1 1 1 application\/json -/, /2 3 4 application\/json -/])
})

t.test('the same key and body are the same request, whatever else comes with it', async (t) => {
  const { shop, flow, url } = await opened()
  const key = { 'idempotency-key': 'k-1' }
  const first = await post(`${url}?a=1`, 'application/json', '{"a":1}', key)
  t.match(first, { status: 202 })
  t.same(await post(`${url}?a=2`, 'application/json', '{"a":1}', { ...key, 'user-agent': 'other' }), first)
  t.match(await post(url, 'application/json', '{"a":1,"event":null}', key), { status: 409 })
  t.equal((await shop.executions(flow)).length, 1)
})

t.test('a flow that is retried and one that is looked at have what came with the body', async (t) => {
  const { shop, flow, url } = await opened()
  const { body } = await post(`${url}?token=secret-of-a-query&page=2`, 'application/json', '{"a":1}')
  const { execution_id: id } = body as { execution_id: string }
  const read = await shop.tenant.get(`/api/automation/executions/${id}`)
  t.match(read.json(), { trigger: { a: 1 }, request: { query: { page: '2' } } })
  t.notMatch(read.body, /secret-of-a-query/)
  await shop.tenant.post(`/api/automation/executions/${id}/cancel`)
  const retried = await shop.tenant.post(`/api/automation/executions/${id}/retry`, { from: 'start' })
  t.equal(retried.statusCode, 201, retried.body)
  const all = await stored(shop, flow)
  t.equal(all.length, 2)
  t.same(all[0]?.request, all[1]?.request)
})

t.test('no type and no body is answered by a 500', async (t) => {
  const { url } = await opened()
  const types = [
    ...[
      'application/json',
      'application/x+json',
      'text/plain',
      'text/xml;charset=utf-16le',
      'multipart/form-data',
    ],
    ...['multipart/form-data; boundary=b', 'multipart/form-data; boundary=""', 'multipart/mixed; boundary=b'],
    ...[
      'application/x-www-form-urlencoded',
      'application/x-www-form-urlencoded;charset="shift_jis"',
      'a/b',
      'text',
      ';',
    ],
  ]
  const piece = fc.oneof(
    fc.string({ maxLength: 20, unit: 'binary' }),
    fc.constantFrom(
      ...[
        '--b\r\n',
        '--b--\r\n',
        '\r\n\r\n',
        '\r\n',
        'content-disposition: form-data; name="a"',
        '%',
        '=',
        '&',
        '%ff',
      ],
    ),
    fc.constantFrom(
      ...['; filename="x"', 'content-type: text/plain; charset=nope', '{"a":', '[', '\0', '"\\ud800"'],
      ...['content-type: text/plain; charset=utf-16le', '\0\u00d8', "; name*=utf-16le''%00%d8", '\u0001'],
      '--b\r\ncontent-disposition: form-data; name="u"\r\ncontent-type: text/plain; charset=utf-16le\r\n\r\n',
      "--b\r\ncontent-disposition: form-data; name*=utf-16le''%00%d8\r\n\r\n",
    ),
  )
  const body = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''))
  let seen = 0
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...types), body, async (type, payload) => {
      const { statusCode } = await app.inject({
        method: 'POST',
        url: url.slice(origin.length),
        headers: { 'content-type': type },
        payload: Buffer.from(payload, 'latin1'),
      })
      seen += 1
      if (![202, 400, 415, 429].includes(statusCode)) throw new Error(`${statusCode} for ${type}`)
    }),
    { numRuns: 400, endOnFailure: true },
  )
  t.equal(seen, 400)
  await sql`select trigger::json #> '{data}' from automation_executions`.execute(db)
})
