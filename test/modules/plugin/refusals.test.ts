import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { type ProblemBody, WEBHOOK_URL } from './support.ts'

const service = await startApp(t)
const { db } = service

const DEEP_CONDITION = Array.from({ length: 12 }).reduce<unknown>((inner) => ({ all: [inner] }), {
  field: 'a',
  operator: 'exists',
})

/** Faulty input, and the pointer that must name the fault. */
const HOSTILE: readonly [Record<string, unknown> | string, string][] = [
  [{ name: undefined }, '/name'],
  [{ name: 7 }, '/name'],
  [{ name: '' }, '/name'],
  [{ name: '  \t' }, '/name'],
  [{ name: 'a'.repeat(201) }, '/name'],
  [{ webhook_url: undefined }, '/webhook_url'],
  [{ webhook_url: null }, '/webhook_url'],
  [{ webhook_url: ['https://a.example'] }, '/webhook_url'],
  [{ webhook_url: ` ${WEBHOOK_URL}` }, '/webhook_url'],
  [{ webhook_url: 'http://127.0.0.1:9/a\tb' }, '/webhook_url'],
  [{ webhook_url: `${WEBHOOK_URL}#top` }, '/webhook_url'],
  [{ webhook_url: `${WEBHOOK_URL}/${'a'.repeat(2048)}` }, '/webhook_url'],
  [{ base_url: `${WEBHOOK_URL}?a=1` }, '/base_url'],
  [{ base_url: {} }, '/base_url'],
  [{ slug: 'actions' }, '/slug'],
  [{ slug: 'events' }, '/slug'],
  [{ slug: 'Upper' }, '/slug'],
  [{ slug: '-a' }, '/slug'],
  [{ slug: '' }, '/slug'],
  [{ slug: 'a/b' }, '/slug'],
  [{ slug: 'a'.repeat(64) }, '/slug'],
  [{ slug: '3b241101-e2bb-4255-8caf-4136c566a962' }, '/slug'],
  [{ description: 1 }, '/description'],
  [{ description: 'a'.repeat(2001) }, '/description'],
  [{ status: 'gone' }, '/status'],
  [{ status: null }, '/status'],
  [{ events: 'order.*' }, '/events'],
  [{ events: [7] }, '/events/0'],
  [{ events: ['order.*', 'Order created'] }, '/events/1'],
  [{ events: ['order.*.created'] }, '/events/0'],
  [{ events: [{ event: 'order..x' }] }, '/events/0/event'],
  [{ events: [{ event: 'order.x', extra: 1 }] }, '/events/0/extra'],
  [{ events: ['order.*', 'order.*'] }, '/events/1'],
  [{ events: ['order.*', { event: 'order.*', filter: null }] }, '/events/1'],
  [{ events: Array.from({ length: 101 }, (_, index) => `e.t${index}`) }, '/events'],
  [{ events: [{ event: 'a', filter: {} }] }, '/events/0/filter/field'],
  [{ events: [{ event: 'a', filter: 'total > 1' }] }, '/events/0/filter'],
  [
    { events: [{ event: 'a', filter: { field: 'b', operator: 'matches', value: '(a+)+$' } }] },
    '/events/0/filter/operator',
  ],
  [
    { events: [{ event: 'a', filter: { field: 'b', operator: 'equals', value: '{{ trigger.c }}' } }] },
    '/events/0/filter/value',
  ],
  [{ events: [{ event: 'a', filter: DEEP_CONDITION }] }, `/events/0/filter${'/all/0'.repeat(5)}/all`],
  [
    '{"events":[{"event":"a","filter":{"field":"b","operator":"gt","value":9007199254740993}}]}',
    '/events/0/filter/value',
  ],
  [{ config: [] }, '/config'],
  [{ config: 'api_key=1' }, '/config'],
  [{ config: { blob: 'a'.repeat(65 * 1024) } }, '/config'],
  [{ config: { a: { b: ['[redacted]'] } } }, '/config/a/b/0'],
  ['{"config":{"a/b":1e400}}', '/config/a~1b'],
  [{ metadata: 7 }, '/metadata'],
  [{ metadata: { blob: 'ü'.repeat(8 * 1024) } }, '/metadata'],
  ['{"metadata":{"n":[12345678901234567890]}}', '/metadata/n/0'],
  [{ headers: { 'content-type': 'text/plain' } }, '/headers/content-type'],
  [{ headers: { Host: 'a' } }, '/headers/Host'],
  [{ headers: { 'webhook-id': 'a' } }, '/headers/webhook-id'],
  [{ headers: { 'webhook-api-key': 'a' } }, '/headers/webhook-api-key'],
  [{ headers: { connection: 'close' } }, '/headers/connection'],
  [{ headers: { constructor: 'a' } }, '/headers/constructor'],
  [{ headers: { 'proxy-authorization': 'a' } }, '/headers/proxy-authorization'],
  [{ headers: { 'Transfer-Encoding': 'chunked' } }, '/headers/Transfer-Encoding'],
  [{ headers: { accept: 'a' } }, '/headers/accept'],
  [{ headers: { 'x-causation-depth': '0' } }, '/headers/x-causation-depth'],
  [{ headers: { 'a b': 'a' } }, '/headers/a b'],
  [{ headers: { ':path': 'a' } }, '/headers/:path'],
  [{ headers: { '': 'a' } }, '/headers/'],
  [{ headers: { 'x-a\r\nx-b': 'a' } }, '/headers/x-a\r\nx-b'],
  [{ headers: { 'x-a': 'b\r\nx-c: d' } }, '/headers/x-a'],
  [{ headers: { 'x-a': 'ü' } }, '/headers/x-a'],
  [{ headers: { 'x-a': '' } }, '/headers/x-a'],
  [{ headers: { 'x-a': 'a'.repeat(1025) } }, '/headers/x-a'],
  [{ headers: { 'x-a': 1 } }, '/headers/x-a'],
  [{ headers: { 'x-a': 'a', 'X-A': 'b' } }, '/headers/X-A'],
  [{ headers: { 'x-a': '[redacted]' } }, '/headers/x-a'],
  [
    { headers: Object.fromEntries(Array.from({ length: 11 }, (_, index) => [`x-${index}`, 'a'])) },
    '/headers',
  ],
  [{ retry_schedule: [0] }, '/retry_schedule/0'],
  [{ retry_schedule: [1.5] }, '/retry_schedule/0'],
  [{ retry_schedule: ['30'] }, '/retry_schedule/0'],
  [{ retry_schedule: [604_801] }, '/retry_schedule/0'],
  [{ retry_schedule: Array<number>(21).fill(1) }, '/retry_schedule'],
  [{ timeout_ms: 999 }, '/timeout_ms'],
  [{ timeout_ms: '5000' }, '/timeout_ms'],
  [{ timeout_ms: true }, '/timeout_ms'],
  ['{"timeout_ms":1e400}', '/timeout_ms'],
  [{ rate_limit_per_second: 0 }, '/rate_limit_per_second'],
  [{ max_in_flight: 1001 }, '/max_in_flight'],
  [{ secret: 'whsec_short' }, '/secret'],
  [{ secret: 'a'.repeat(129) }, '/secret'],
  [{ tenant_id: 'mine' }, '/tenant_id'],
  [{ constructor: {} }, '/constructor'],
  [{ is_admin: true }, '/is_admin'],
  ['{"__proto__":{"status":"active"}}', '/__proto__'],
]

t.test('what is wrong is named by pointer, and nothing is stored', async (t) => {
  const tenant = service.tenant()
  for (const [fields, pointer] of HOSTILE) {
    const base = { name: 'Hostile', webhook_url: WEBHOOK_URL }
    const body =
      typeof fields === 'string'
        ? `{"name":"Hostile","webhook_url":"${WEBHOOK_URL}",${fields.slice(1)}`
        : { ...base, ...fields }
    const response = await tenant.post('/api/plugins', body)
    const label = `${JSON.stringify(fields).slice(0, 80)}: ${response.body.slice(0, 300)}`
    t.equal(response.statusCode, 400, label)
    t.ok(
      response.json<ProblemBody>().errors?.some((error) => error.pointer === pointer),
      label,
    )
  }
  for (const body of ['', '[]', 'null', '"text"', '{"name":', '7']) {
    t.equal((await tenant.post('/api/plugins', body)).statusCode, 400, body)
  }
  for (const table of ['plugins', 'plugin_secrets', 'delivery_lanes', 'audit_log'] as const) {
    const rows = await db.selectFrom(table).select('tenant_id').where('tenant_id', '=', tenant.id).execute()
    t.strictSame(rows, [], table)
  }
})

t.test('a URL that may not be called is refused with its field', async (t) => {
  const tenant = service.tenant()
  const refused = async (fields: Record<string, unknown>, pointer: string, detail: RegExp): Promise<void> => {
    const response = await tenant.post('/api/plugins', { name: 'X', webhook_url: WEBHOOK_URL, ...fields })
    t.equal(response.statusCode, 422, response.body)
    t.match(response.json(), { code: 'webhook_url_refused', errors: [{ pointer, detail }] })
  }
  await refused(
    { webhook_url: 'http://10.0.0.1/hook' },
    '/webhook_url',
    /not a public address.* EGRESS_ALLOW=10\.0\.0\.1:80$/,
  )
  await refused({ webhook_url: 'http://[::ffff:169.254.169.254]/' }, '/webhook_url', /not a public address/)
  await refused({ webhook_url: 'http://0x0a000001/' }, '/webhook_url', /not a public address/)
  await refused({ webhook_url: 'ftp://plugin.example/' }, '/webhook_url', /http/)
  await refused({ webhook_url: 'plugin.example/webhooks' }, '/webhook_url', /URL/)
  await refused({ webhook_url: 'https://user:pass@plugin.example/' }, '/webhook_url', /user name/)
  await refused({ base_url: 'http://192.168.1.1' }, '/base_url', /not a public address/)
})

t.test('with HTTPS_ONLY an http URL is refused', async (t) => {
  const strict = await startApp(t, { env: { HTTPS_ONLY: 'true' } })
  const response = await strict.tenant().post('/api/plugins', { name: 'X', webhook_url: WEBHOOK_URL })
  t.equal(response.statusCode, 422)
  t.match(response.json(), {
    code: 'webhook_url_refused',
    errors: [{ pointer: '/webhook_url', detail: /https/ }],
  })
})
