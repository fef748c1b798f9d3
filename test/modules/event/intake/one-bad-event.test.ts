import t from 'tap'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'

interface Answer {
  summary: Record<string, number>
  results: { status: string; problem?: { code: string; reason?: string; errors?: { pointer: string }[] } }[]
}

const GOOD = '{"event":"product.created","data":{"a":1}}'
/** The bytes of a bad event, the reason for which it is refused, and the pointer inside it. */
const BAD: [string | Buffer, string, string][] = [
  ['{"event":"product.created","data":{"t":"Apron \\ud83e"}}', 'lone_surrogate', '/data/t'],
  ['{"event":"product.created","data":{"t":"a\\u0000"}}', 'nul_character', '/data/t'],
  ['{"event":"product.created","data":{"t":"a\0"}}', 'nul_character', ''],
  ['{"event":"product.created","data":{"t":1,"t":2}}', 'duplicate_key', '/data/t'],
  ['{"event":"product.created","data":{"__proto__":{}}}', 'forbidden_key', '/data/__proto__'],
  ['{"event":"product.created","data":{"n":1e99999}}', 'number_out_of_range', '/data/n'],
  [`{"event":"product.created","data":{"t":${'['.repeat(70)}${']'.repeat(70)}}}`, 'too_deep', '/data/t'],
  [Buffer.from([0x22, 0xff, 0x22]), 'invalid_utf8', ''],
  ['{"event":}', 'invalid_json', ''],
]

t.test('what is wrong inside one event refuses that event alone', async (t) => {
  const service = await startApp(t)
  const { app } = service
  const authorization = `Bearer ${TEST_PLATFORM_KEY}`
  const tenantId = service.tenant().id
  const post = (payload: Buffer, type = 'application/json') =>
    app.inject({
      method: 'POST',
      url: '/api/events',
      headers: { authorization, 'x-tenant-id': tenantId, 'content-type': type },
      payload,
    })
  for (const [bad, reason, pointer] of BAD) {
    const payload = Buffer.concat([
      Buffer.from(`{ "events" : [${GOOD}, `),
      Buffer.from(bad),
      Buffer.from(` ,${GOOD}]}`),
    ])
    const response = await post(payload)
    t.equal(response.statusCode, 202, reason)
    const { summary, results } = response.json<Answer>()
    t.same(summary, { accepted: 2, duplicate: 0, rejected: 1 })
    t.same(
      results.map(({ status }) => status),
      ['accepted', 'rejected', 'accepted'],
    )
    t.match(results[1]?.problem, { code: 'invalid_json', reason }, reason)
    const shown = results[1]?.problem?.errors?.[0]?.pointer ?? ''
    t.ok(shown.startsWith(`/events/1${pointer}`), `${reason}: ${shown}`)
  }
  const large = JSON.stringify({ event: 'product.created', data: { t: 'x'.repeat(1.1 * 1024 * 1024) } })
  const beside = await post(Buffer.from(`{"events":[${GOOD},${large},${GOOD}]}`))
  t.match(beside.json(), {
    summary: { accepted: 2, duplicate: 0, rejected: 1 },
    results: [
      { status: 'accepted' },
      { status: 'rejected', problem: { code: 'event_too_large', status: 413 } },
      { status: 'accepted' },
    ],
  })
  const cloud = '{"specversion":"1.0","id":"1","source":"/s","type":"a.b","data":{}}'
  const response = await post(
    Buffer.from(`[${cloud},{"id":"\\ud800"}]`),
    'application/cloudevents-batch+json',
  )
  t.equal(response.statusCode, 202)
  t.match(response.json<Answer>().results[1], {
    status: 'rejected',
    problem: { errors: [{ pointer: '/1/id' }] },
  })
})

t.test('what makes the envelope unreadable refuses the request', async (t) => {
  const service = await startApp(t)
  const { app } = service
  const authorization = `Bearer ${TEST_PLATFORM_KEY}`
  const tenantId = service.tenant().id
  const bodies = [
    `{"events":[${GOOD}`,
    `{"events":[${GOOD},{"a":"\\ud800"}],"events":[]}`,
    `{"events":[${GOOD},{"a":"\\ud800"}],"x":"\\ud800"}`,
    `{"events":[${GOOD},{"a":"b]}`,
    `{"events":[${GOOD}}},{"a":1}]}`,
    `{"events":[${'{"a":"\\ud800"},'.repeat(1_001)}1]}`,
    GOOD.replace('1', '"\\ud800"'),
  ]
  for (const payload of bodies) {
    const response = await app.inject({
      method: 'POST',
      url: '/api/events',
      headers: { authorization, 'x-tenant-id': tenantId, 'content-type': 'application/json' },
      payload,
    })
    t.equal(response.statusCode, 400, payload.slice(0, 60))
    t.equal(response.json<{ code: string }>().code, 'invalid_json')
  }
})
