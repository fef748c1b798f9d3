import { sql } from 'kysely'
import t from 'tap'
import type { Condition } from '#lib/condition/index.ts'
import { FLOW_SCHEMA_VERSION, type Trigger } from '#lib/flow/types.ts'
import { newId } from '#lib/ids.ts'
import { clientFor, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { outcomes, settings, type Shop, startWorld } from '#test/modules/flow-engine/support.ts'
import { activate, setStatus, sync } from './support.ts'

const world = await startWorld(t, {
  FLOW_MAX_STARTS_PER_MINUTE: '50',
  PUBLIC_URL: 'https://shop.example.com/auto/',
})
const { app, db } = world
const origin = await app.listen({ port: 0, host: '127.0.0.1' })
const NOW = new Date()

function webhook(id = 'trigger_1', filter: Condition | null = null): Trigger {
  return { id, type: 'webhook', filter }
}

/** The path of the flow's inlet, as an editor sees it behind the public URL. */
async function pathOf(shop: Shop, flowId: string, triggerId = 'trigger_1'): Promise<string> {
  const states = await app.flowTriggers.describe(db, shop.tenant.id, [flowId])
  const url = states.get(flowId)?.inlets.find(({ trigger_id }) => trigger_id === triggerId)?.url ?? ''
  const prefix = 'https://shop.example.com/auto'
  if (!/^\/hooks\/[\w-]{43}$/.test(url.slice(prefix.length)) || !url.startsWith(prefix)) throw new Error(url)
  return url.slice(prefix.length)
}

interface Answer {
  status: number
  body: Record<string, unknown>
}

async function send(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(origin + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

t.test('a body that comes in starts the flow, and is its trigger', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [webhook()], NOW)
  const body = { order: { id: 'o-1', tags: ['a', null, { deep: true }] }, total: 9.5 }
  const { status, body: receipt } = await send(await pathOf(shop, flow), body)
  t.equal(status, 202)
  const [execution] = await shop.executions(flow)
  t.same(receipt, { execution_id: execution?.id, status: 'queued', reason: null })
  t.match(execution, { status: 'queued', trigger_kind: 'webhook', event_id: null, trigger: { data: body } })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/delay'])
})

t.test('a filter lets pass what it is about, and the rest starts nothing', async (t) => {
  const shop = await world.shop()
  const filter: Condition = { field: 'trigger.total', operator: 'gt', value: 10 }
  const flow = await activate(world, shop, [webhook('trigger_1', filter)], NOW)
  const path = await pathOf(shop, flow)
  const filtered = { status: 202, body: { execution_id: null, status: 'filtered', reason: null } }
  for (const body of [{ total: 10 }, { total: 'many' }, {}, [], null, 'text', 7]) {
    t.same(await send(path, JSON.stringify(body)), filtered, JSON.stringify(body))
  }
  t.match(await send(path, { total: 11 }), { status: 202, body: { status: 'queued' } })
  t.equal((await shop.executions(flow)).length, 1)
})

t.test('a filter whose own value is missing lets nothing pass', async (t) => {
  const shop = await world.shop()
  const filter: Condition = { field: 'trigger.a', operator: 'equals', value: '{{trigger.missing}}' }
  const flow = await activate(world, shop, [webhook('trigger_1', filter)], NOW)
  t.match(await send(await pathOf(shop, flow), { a: 1 }), { status: 202, body: { status: 'filtered' } })
})

t.test('any JSON is a body, and none at all is null', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [webhook()], NOW)
  const path = await pathOf(shop, flow)
  for (const body of [[1, 2], 'text', 3, true, null]) {
    const { status } = await send(path, JSON.stringify(body))
    t.equal(status, 202, JSON.stringify(body))
  }
  const empty = await fetch(origin + path, { method: 'POST' })
  t.equal(empty.status, 202)
  const data = (await shop.executions(flow)).map(({ trigger }) => (trigger as { data: unknown }).data)
  t.same(data, [[1, 2], 'text', 3, true, null, null])
})

t.test('requests with the same key start one execution, also when they race', async (t) => {
  const shop = await world.shop()
  const plain = await activate(world, shop, [webhook()], NOW)
  const keyed = await activate(world, shop, [webhook()], NOW, {
    settings: settings({ enrolment: { key: '{{trigger.customer}}', while_active: 'restart' } }),
  })
  for (const flow of [plain, keyed]) {
    const path = await pathOf(shop, flow)
    const body = { customer: 'ann' }
    const race = Array.from({ length: 6 }, () => send(path, body, { 'idempotency-key': 'key-1' }))
    const answers = [...(await Promise.all(race)), await send(path, body, { 'idempotency-key': 'key-1' })]
    t.same([...new Set(answers.map(({ status }) => status))], [202])
    t.equal(new Set(answers.map(({ body }) => body['execution_id'])).size, 1)
    t.strictSame(outcomes(await shop.executions(flow)), ['queued'])
    t.match(await send(path, { customer: 'bob' }, { 'idempotency-key': 'key-1' }), {
      status: 409,
      body: { code: 'inlet_conflict' },
    })
    t.match(await send(path, body, { 'webhook-id': 'msg_2' }), { status: 202 })
    await send(path, body, { 'webhook-id': 'msg_2' })
    t.equal((await shop.executions(flow)).length, 2)
  }
})

t.test('a key belongs to its inlet alone', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [webhook('a'), webhook('b')], NOW)
  const answers = [
    await send(await pathOf(shop, flow, 'a'), {}, { 'idempotency-key': 'k' }),
    await send(await pathOf(shop, flow, 'b'), {}, { 'idempotency-key': 'k' }),
  ]
  t.equal(new Set(answers.map(({ body }) => body['execution_id'])).size, 2)
})

t.test('unknown, replaced and removed URLs are answered alike', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [webhook()], NOW)
  const path = await pathOf(shop, flow)
  const answer = async (to: string): Promise<unknown> => {
    const response = await fetch(origin + to, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': 'the-same' },
      body: '{"not json',
    })
    const headers = { ...Object.fromEntries(response.headers), date: null }
    return { status: response.status, headers, body: await response.text() }
  }
  const unknown = await answer(`/hooks/${'A'.repeat(43)}`)
  t.match(unknown, { status: 404, body: /"inlet_not_found"/ })
  for (const token of ['x', 'A'.repeat(42), 'A'.repeat(200), '%00'.repeat(10), '..%2f..%2fetc']) {
    t.same(await answer(`/hooks/${token}`), unknown, token)
  }
  t.match(await send(path, {}), { status: 202 })
  await activate(world, shop, [webhook('other')], NOW, { id: flow })
  t.same(await answer(path), unknown, 'the published version has it no more')
  await activate(world, shop, [webhook()], NOW, { id: flow })
  t.match(await send(path, {}), { status: 202 }, 'and has it again')
  await sql`update automation_flows set deleted_at = now() where id = ${flow}`.execute(db)
  t.same(await answer(path), unknown, 'deleted')
})

t.test('a flow of a newer release takes nothing here, and is asked for again later', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [webhook()], NOW)
  await sql`
    update automation_flow_versions
    set flow = jsonb_set(flow::jsonb, '{schema_version}', to_jsonb(${FLOW_SCHEMA_VERSION + 1}::int))::json
    where flow_id = ${flow}`.execute(db)
  const { status, body } = await send(await pathOf(shop, flow), { id: 1 })
  t.match({ status, code: body['code'] }, { status: 503, code: 'flow_newer' })
  t.same(await shop.executions(flow), [])
})

t.test('what comes to a flow that is off is looked at as ever, and kept', async (t) => {
  const shop = await world.shop()
  const filter: Condition = { field: 'trigger.total', operator: 'gt', value: 10 }
  const flow = await activate(world, shop, [webhook('trigger_1', filter)], NOW)
  const path = await pathOf(shop, flow)
  for (const [status, reason] of [
    ['paused', 'paused'],
    ['inactive', 'not_active'],
  ] as const) {
    await setStatus(shop, flow, status)
    t.match(await send(path, { total: 9 }), { status: 202, body: { status: 'filtered', execution_id: null } })
    const body = { total: 11 }
    const kept = await send(path, body, { 'idempotency-key': status })
    t.match(kept, { status: 202, body: { status: 'skipped', reason, execution_id: String } })
    t.same(await send(path, body, { 'idempotency-key': status }), kept, 'sent again, it is the same one')
    t.match(await send(path, { total: 12 }, { 'idempotency-key': status }), { status: 409 })
  }
  await app.flowEngine.halt(shop.tenant.id)
  await setStatus(shop, flow, 'paused')
  t.match(await send(path, { total: 13 }), { body: { reason: 'paused' } }, 'resuming does not start it')
  t.strictSame(outcomes(await shop.executions(flow)), [
    'skipped/paused',
    'skipped/not_active',
    'skipped/paused',
  ])
})

t.test('a flow that is switched off and on again keeps its URL', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [webhook()], NOW)
  const path = await pathOf(shop, flow)
  await sync(world, shop, flow, [], NOW)
  await setStatus(shop, flow, 'inactive')
  await sync(world, shop, flow, [webhook(), webhook('more')], NOW)
  await setStatus(shop, flow, 'active')
  t.equal(await pathOf(shop, flow), path)
  t.match(await send(path, {}), { status: 202 })
})

t.test('a URL can be had before the flow is active, and goes with the flow', async (t) => {
  const shop = await world.shop()
  const draft = newId()
  await db.transaction().execute(async (trx) => {
    await app.flowTriggers.reserve(trx, shop.tenant.id, draft, [webhook()])
    await app.flowTriggers.reserve(trx, shop.tenant.id, draft, [webhook()])
  })
  const path = await pathOf(shop, draft)
  t.match(await send(path, {}), { status: 404 })
  await activate(world, shop, [webhook()], NOW, { id: draft })
  t.equal(await pathOf(shop, draft), path)
  t.match(await send(path, {}), { status: 202 })
  await db.transaction().execute((trx) => app.flowTriggers.remove(trx, shop.tenant.id, draft))
  t.match(await send(path, {}), { status: 404 })
})

t.test('a halted tenant, a flow at its cap and an enrolment say why nothing starts', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [webhook()], NOW)
  const path = await pathOf(shop, flow)
  const all = await Promise.all(Array.from({ length: 50 }, () => send(path, {})))
  t.ok(all.every(({ body }) => body['status'] === 'queued'))
  t.match(await send(path, {}, { 'idempotency-key': 'late' }), {
    status: 202,
    body: { status: 'skipped', reason: 'rate_cap', execution_id: String },
  })
  t.match(await send(path, {}, { 'idempotency-key': 'late' }), {
    body: { status: 'skipped', reason: 'rate_cap' },
  })
  await app.flowEngine.halt(shop.tenant.id)
  t.match(await send(path, {}), { status: 202, body: { status: 'skipped', reason: 'halted' } })
  t.equal((await shop.executions(flow)).length, 52)
})

t.test('an editor replaces a URL: the old one is dead at once, and the log says who', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [webhook()], NOW)
  const old = await pathOf(shop, flow)
  t.match(await send(old, {}), { status: 202 })
  const rotate = `/api/automation/flows/${flow}/inlets/trigger_1/rotate`
  const rotated = await shop.tenant.post(rotate)
  t.equal(rotated.statusCode, 200)
  const fresh = await pathOf(shop, flow)
  t.same(rotated.json(), { trigger_id: 'trigger_1', url: `https://shop.example.com/auto${fresh}` })
  t.not(fresh, old)
  t.match(await send(old, {}), { status: 404 })
  t.match(await send(fresh, {}), { status: 202 })
  const { rows } = await sql<{ target_id: string; detail: unknown }>`
    select target_id, detail from audit_log where action = 'flow.inlet_rotated' and tenant_id = ${shop.tenant.id}`.execute(
    db,
  )
  t.same(rows, [{ target_id: flow, detail: { trigger_id: 'trigger_1' } }])

  const made = await shop.tenant.post('/api/keys', { name: 'viewer', kind: 'tenant', role: 'viewer' })
  const viewer = clientFor(app, shop.tenant.id, made.json<{ key: string }>().key)
  t.equal((await viewer.post(rotate)).statusCode, 403)
  const stranger = clientFor(app, crypto.randomUUID(), TEST_PLATFORM_KEY)
  t.equal((await stranger.post(rotate)).statusCode, 404)
  t.equal((await shop.tenant.post(rotate.replace('trigger_1', 'trigger_2'))).statusCode, 404)
  t.equal(await pathOf(shop, flow), fresh)
})

t.test('the database holds no token that can be used', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [webhook()], NOW)
  const token = (await pathOf(shop, flow)).slice('/hooks/'.length)
  const { rows } = await sql<{ row: string }>`
    select i::text as row from automation_inlets i where flow_id = ${flow}`.execute(db)
  for (const form of [
    token,
    Buffer.from(token).toString('hex'),
    Buffer.from(token, 'base64url').toString('hex'),
  ]) {
    t.notOk(rows[0]?.row.includes(form))
  }
})

t.test('hostile bodies are refused, and start nothing', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [webhook()], NOW)
  const path = await pathOf(shop, flow)
  const cases: [name: string, body: string | Uint8Array, status: number, headers?: Record<string, string>][] =
    [
      ['no JSON', '{', 400],
      ['prototype', '{"__proto__":{"admin":true}}', 400],
      ['NUL', '{"a":"\\u0000"}', 400],
      ['half a surrogate', '{"a":"\\ud800"}', 400],
      ['a name twice', '{"a":1,"a":2}', 400],
      ['too deep', '['.repeat(65) + ']'.repeat(65), 400],
      ['not UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 400],
      ['a number without end', `1${'0'.repeat(2_000)}`, 400],
      ['too large', JSON.stringify({ a: 'x'.repeat(1024 * 1024) }), 413],
      ['a PDF', '%PDF-1.7', 415, { 'content-type': 'application/pdf' }],
      ['an empty key', '{}', 400, { 'idempotency-key': '' }],
      ['a long key', '{}', 400, { 'idempotency-key': 'k'.repeat(256) }],
      ['a key with spaces', '{}', 400, { 'idempotency-key': 'a b' }],
    ]
  for (const [name, body, status, headers] of cases) {
    const answer = await send(path, body, headers)
    t.equal(answer.status, status, `${name}: ${JSON.stringify(answer.body)}`)
  }
  t.strictSame(await shop.executions(flow), [])
  const template = '{{trigger.b}} {{execution.id}}'
  t.match(await send(path, { a: template, constructor: 1, b: '\u2028' }), { status: 202 })
  t.match(await shop.executions(flow), [{ trigger: { data: { a: template } } }])
  t.match(await send(path, ''), { status: 202 }, 'nothing, said to be JSON, is no body')
})

t.test('other methods are not known there', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [webhook()], NOW)
  const response = await fetch(origin + (await pathOf(shop, flow)))
  t.ok([404, 405].includes(response.status))
})
