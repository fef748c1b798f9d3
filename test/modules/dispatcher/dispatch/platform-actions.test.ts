import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { type Action, dispatch, json, readLog, startPlugin } from '../support.ts'

const platform = await startPlugin(t)
const service = await startApp(t, { env: { PLATFORM_URL: platform.url } })

/** As simplified-architecture.md prints it. */
const PRINTED = {
  flow_execution_id: 'exec_456',
  events: [
    {
      action_type: 'create_product',
      payload: { name: 'New Product', price: 29.99, description: 'Auto-created product' },
    },
    {
      action_type: 'send_notification',
      payload: { message: 'Product created successfully', channel: 'slack' },
    },
  ],
}

/** The twelve actions of simplified-architecture.md, and its event receiver's name for a notification. */
const AVAILABLE_ACTIONS: Record<string, string> = {
  create_product: 'POST /api/products',
  update_product: 'PUT /api/products/7',
  delete_product: 'DELETE /api/products/7',
  create_customer: 'POST /api/customers',
  update_customer: 'PUT /api/customers/7',
  create_order: 'POST /api/orders',
  update_order_status: 'PUT /api/orders/7/status',
  send_email: 'POST /api/notifications/email',
  send_sms: 'POST /api/notifications/sms',
  create_notification: 'POST /api/notifications',
  create_task: 'POST /api/tasks',
  assign_task: 'PUT /api/tasks/7/assign',
  send_notification: 'POST /api/notifications',
}

for (const path of ['/api/events/automation', '/api/plugins/events/automation']) {
  t.test(`the documented request to ${path} reaches the platform as it came`, async (t) => {
    const from = platform.received.length
    const answer = await service.tenant().post(path, PRINTED)
    t.equal(answer.statusCode, 200, answer.body)
    t.match(answer.json(), {
      flow_execution_id: 'exec_456',
      results: [
        { action_type: 'create_product', success: true, data: { done: true } },
        { action_type: 'send_notification', success: true, data: { done: true } },
      ],
    })
    t.strictSame(sentSince(from), [
      ['POST /api/products', PRINTED.events[0]?.payload],
      ['POST /api/notifications', PRINTED.events[1]?.payload],
    ])
  })
}

t.test('every documented action goes to its path, with all of its payload', async (t) => {
  const from = platform.received.length
  const payload = { id: 7, anything: [null, { goes: true }] }
  const names = Object.keys(AVAILABLE_ACTIONS)
  const { results } = await dispatch(
    service.tenant(),
    names.map((action_type) => ({ action_type, payload })),
  )
  t.ok(results.every(({ success }) => success))
  t.strictSame(
    sentSince(from),
    names.map((name) => [AVAILABLE_ACTIONS[name], payload]),
  )
})

t.test('a member that lacks, is of another type or is unknown is the platform’s to judge', async (t) => {
  const payloads: Action[] = [
    { action_type: 'create_product', payload: {} },
    { action_type: 'create_product', payload: { title: 'Hat', price: [] } },
    { action_type: 'create_customer', payload: { email: 'new@customer.com' } },
    { action_type: 'create_customer', payload: { email: 'not an address' } },
    { action_type: 'send_email', payload: { to: ['a', 'b'], subject: '', template: 'welcome_email' } },
    { action_type: 'create_task', payload: { title: 'Follow up', due_date: '2026-03-05' } },
    { action_type: 'create_order', payload: { items: 'none' } },
    { action_type: 'update_product', payload: { id: 7, price: null } },
  ]
  const from = platform.received.length
  const { results } = await dispatch(service.tenant(), payloads)
  t.ok(
    results.every(({ success }) => success),
    JSON.stringify(results),
  )
  t.strictSame(
    sentSince(from).map(([, body]) => body),
    payloads.map(({ payload }) => payload),
  )
})

t.test('without what its path takes an action is not sent', async (t) => {
  const from = platform.received.length
  const { results } = await dispatch(
    service.tenant(),
    [{}, { id: '' }, { id: null }, { id: {} }, { id: [7] }, { id: true }].map((payload) => ({
      action_type: 'update_product',
      payload,
    })),
  )
  t.strictSame(
    results.map(({ error }) => error?.code),
    [
      'missing_field',
      'missing_field',
      'missing_field',
      'invalid_payload',
      'invalid_payload',
      'invalid_payload',
    ],
  )
  t.match(results[3]?.error?.message, /^\/id: Must be text or a number/)
  t.strictSame(sentSince(from), [])
})

t.test('the platform’s codes and messages are the result’s', async (t) => {
  const answers: [number, unknown, { code: string; message: string }][] = [
    [
      422,
      { error: { code: 'sku_taken', message: 'Another product has this SKU.' } },
      { code: 'sku_taken', message: 'Another product has this SKU.' },
    ],
    [404, { code: 'PRODUCT.NOT-FOUND', message: 'No.' }, { code: 'PRODUCT.NOT-FOUND', message: 'No.' }],
    [
      400,
      { type: 'about:blank', title: 'Bad', status: 400, code: 'bad_price', detail: 'Below zero.' },
      { code: 'bad_price', message: 'Below zero.' },
    ],
    [409, { code: 21211, message: 'Busy.' }, { code: '21211', message: 'Busy.' }],
    [403, { error: 'Not in your plan.' }, { code: 'http_4xx', message: 'Not in your plan.' }],
    [503, { error: { code: 'maintenance', message: 'Soon.' } }, { code: 'maintenance', message: 'Soon.' }],
    // A code that the service has as well is told with the platform's prefix.
    [
      400,
      { error: { code: 'missing_field', message: 'price' } },
      { code: 'platform_missing_field', message: 'price' },
    ],
    [404, { code: 404, message: 'Gone.' }, { code: 'http_4xx', message: 'Gone.' }],
    [400, { code: 'x'.repeat(65), message: 'Long.' }, { code: 'http_4xx', message: 'Long.' }],
    [400, { code: 'two words', message: 'Words.' }, { code: 'http_4xx', message: 'Words.' }],
    [400, { code: { a: 1 }, error: { code: ['b'] } }, { code: 'http_4xx', message: 'The answer was 400' }],
    [500, '<h1>Oops</h1>', { code: 'http_5xx', message: 'The answer was 500' }],
  ]
  const codes: [number, unknown][] = answers.map(([status, body]) => [status, body])
  const failing = await startPlugin(t, {
    '/api/products': (response) => {
      const [status, body] = codes.shift() ?? [500, null]
      json(status, body)(response)
    },
  })
  const shop = (await startApp(t, { env: { PLATFORM_URL: failing.url } })).tenant()
  const { results } = await dispatch(
    shop,
    answers.map(() => ({ action_type: 'create_product', payload: { name: 'Hat' } })),
    { flow_execution_id: 'codes' },
  )
  t.strictSame(
    results.map(({ error, response_status }) => [response_status, error]),
    answers.map(([status, , error]) => [status, error]),
  )
  const log = await readLog(shop, 'execution=codes')
  t.strictSame(log.map((entry) => entry.error_code).sort(), answers.map(([, , { code }]) => code).sort())
})

function sentSince(from: number): [string, unknown][] {
  return platform.received
    .slice(from)
    .map(({ method, path, body }) => [`${method} ${path}`, JSON.parse(body) as unknown])
}
