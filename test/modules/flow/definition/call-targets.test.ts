import t from 'tap'
import { startApp } from '#test/support/app.ts'

const service = await startApp(t, {
  env: { PUBLIC_URL: 'https://shop.example.com/automation', EGRESS_ALLOW: '127.0.0.1:9' },
})

const flow = (url: string) => ({
  name: 'Call',
  status: 'draft',
  trigger: { type: 'manual' },
  steps: [{ id: 'call', type: 'http', method: 'GET', url }],
})

t.test('a flow that calls what nobody may call is refused when it is saved', async (t) => {
  const shop = service.tenant()
  const problemsOf = async (url: string): Promise<unknown[]> => {
    const answer = await shop.post('/api/automation/flows/validate', flow(url))
    t.equal(answer.statusCode, 200, answer.body)
    return answer.json<{ problems: unknown[] }>().problems
  }
  for (const [url, message] of [
    ['http://printer/', /printer is not a public name/],
    ['http://crm.internal/{{trigger.id}}', /not a public name/],
    ['http://10.0.0.1/x?y={{trigger.id}}', /not a public address/],
    ['http://a..example.com/', /empty label/],
    ['http://example.com:0/', /Port 0/],
    ['https://example.com:25/', /Port 25/],
    ['https://shop.example.com/automation/hooks/a-token', /the service itself/],
    ['https://shop.example.com/automation/api/events', /the service itself/],
  ] as const) {
    t.match(await problemsOf(url), [{ code: 'invalid_url', pointer: '/steps/0/url', message }], url)
    const published = await shop.post('/api/automation/flows', { ...flow(url), status: 'active' })
    t.equal(published.statusCode, 422, url)
  }
  for (const url of [
    'https://shop.example.com/store',
    'http://127.0.0.1:9/',
    'https://example.com:8443/{{trigger.id}}',
    'https://example.com/{% if trigger.a == "b?c#d" %}x{% else %}y{% endif %}',
  ])
    t.strictSame(await problemsOf(url), [], url)
})

t.test("a plugin's URL may be neither an inlet of the service nor what nobody may call", async (t) => {
  const shop = service.tenant()
  for (const [url, reason] of [
    ['https://shop.example.com/automation/hooks/a-token', 'own_address'],
    ['http://printer/', 'address_blocked'],
    ['https://example.com:22/', 'port_blocked'],
    ['https://-a.example.com/', 'invalid_url'],
  ] as const) {
    const answer = await shop.post('/api/plugins', { name: 'x', webhook_url: url, events: [] })
    t.equal(answer.statusCode, 422, url)
    t.match(
      answer.json(),
      { code: 'webhook_url_refused', errors: [{ pointer: '/webhook_url', reason }] },
      url,
    )
  }
})
