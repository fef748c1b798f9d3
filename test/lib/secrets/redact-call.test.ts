import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import { callSecrets, redactCall, redactUrl } from '#lib/secrets/redact-call.ts'
import { redactText } from '#lib/secrets/redact.ts'

/** Of CPU time, generous for slow machines; work that is not linear takes minutes. */
const MAX_MS = 5000

t.test('credentials are hidden by where they stand, whatever they are called', (t) => {
  const definition = {
    name: 'Call',
    steps: [
      {
        id: 'call',
        type: 'http',
        url: 'https://ann:pw@example.com/orders/{{ a?b#c & d }}?subscription-id=s3&q={{ x }}&s3cr3t#frag',
        headers: { 'Ocp-Apim-Subscription-Key': 'k1', 'X-Shop': '{{ shop }}', Accept: '' },
        body: { headers: 'k2', note: 'https://example.com/?q=1' },
      },
      { config: { headers: [{ name: 'a', value: 'k3' }, ['b', 'k4'], 'k5'], URL: 'https://e.com/?k6' } },
    ],
  }
  t.strictSame(redactCall(definition), {
    name: 'Call',
    steps: [
      {
        id: 'call',
        type: 'http',
        url: 'https://[redacted]@example.com/orders/{{ a?b#c & d }}?subscription-id=[redacted]&q=[redacted]&[redacted]#[redacted]',
        headers: { 'Ocp-Apim-Subscription-Key': '[redacted]', 'X-Shop': '[redacted]', Accept: '' },
        body: { headers: '[redacted]', note: 'https://example.com/?q=1' },
      },
      {
        config: {
          headers: [{ name: 'a', value: '[redacted]' }, ['b', '[redacted]'], '[redacted]'],
          URL: 'https://e.com/?[redacted]',
        },
      },
    ],
  })
  t.end()
})

t.test('tags in a URL stay, whatever characters they have', (t) => {
  const path = 'https://example.com/{% if trigger.a == "b?c#d" %}x{% else %}{{ trigger.b }}{% endif %}'
  t.equal(redactUrl(`${path}?q=s3`), `${path}?q=[redacted]`)
  const unclosed = '{{ a '.repeat(60_000) + '{% b '.repeat(60_000)
  t.equal(redactUrl(unclosed), unclosed)
  t.end()
})

t.test('paths that are a credential are hidden wherever a URL stands', (t) => {
  const token = 'aB3dE5gH7jK9mN1pQ3'
  for (const [url, shown] of [
    [`https://hooks.slack.com/services/T0/B0/${token}`, 'https://hooks.slack.com/services/[redacted]'],
    [`https://discord.com/api/webhooks/123/${token}`, 'https://discord.com/api/webhooks/[redacted]'],
    [
      `https://api.telegram.org/bot123:${token}/sendMessage`,
      'https://api.telegram.org/bot[redacted]/sendMessage',
    ],
    [`https://x.webhook.office.com/webhookb2/a@b/c`, 'https://x.webhook.office.com/webhookb2/[redacted]'],
    ['https://hooks.zapier.com/hooks/catch/1/abc', 'https://hooks.zapier.com/hooks/[redacted]'],
    ['https://hook.eu1.make.com/abc', 'https://hook.eu1.make.com/[redacted]'],
    [
      'https://maker.ifttt.com/trigger/x/with/key/abc',
      'https://maker.ifttt.com/trigger/x/with/key/[redacted]',
    ],
    [`https://automation.example/hooks/${token}`, 'https://automation.example/hooks/[redacted]'],
    [`https://example.com/a?sig=${token}&n=1`, 'https://example.com/a?sig=[redacted]&n=1'],
    ['https://example.com/a?access_token=x', 'https://example.com/a?access_token=[redacted]'],
    ['https://example.com/webhooks/orders-of-2026', 'https://example.com/webhooks/orders-of-2026'],
    ['https://example.com/a?key=colour', 'https://example.com/a?key=colour'],
  ] as const) {
    t.equal(redactText(`see ${url} now`), `see ${shown} now`)
  }
  t.equal(
    redactUrl(`https://hooks.slack.com/services/T0/B0/${token}`),
    'https://hooks.slack.com/services/[redacted]',
  )
  t.equal(redactUrl('/relative'), '/relative')
  t.end()
})

t.test(
  'what a call sent that nobody may see is its headers and what looks like a credential in its query',
  (t) => {
    const credential = 'abc123abc123abc123abc123'
    t.strictSame(
      callSecrets({
        headers: { authorization: 'Token t0p-secret', 'content-type': 'application/json', 'x-a': 'short' },
        url: `https://example.com/?a=${credential}&b=%41${credential}&c=name&d=%zz`,
      }),
      ['Token t0p-secret', 't0p-secret', credential, `%41${credential}`, `A${credential}`],
    )
    t.strictSame(callSecrets({}), [])
    t.end()
  },
)

t.test('a name of the query begins at its last question mark', (t) => {
  const credential = 'abc123abc123abc123abc123'
  t.strictSame(callSecrets({ url: `https://example.com/??a?b=${credential}` }), [credential])
  t.strictSame(callSecrets({ url: `https://example.com/?a=${credential}?b=1` }), [`${credential}?b=1`])
  t.end()
})

t.test('large URLs and headers take linear time', (t) => {
  const spent = cpuTimer()
  for (const part of [
    '?',
    '&',
    '?a',
    '?&',
    '=',
    '/',
    '//',
    '@',
    '{{',
    '{%',
    '{{}}',
    '\u00001',
    '?a=1',
    '#',
  ]) {
    const text = part.repeat(1e6 / part.length)
    callSecrets({ url: text, headers: { 'x-sent': text } })
    redactUrl(text)
  }
  const took = spent()
  t.ok(took < MAX_MS, `${Math.round(took)} ms`)
  t.end()
})
