import { flow, type Hostile, many, nest, set } from './definition.ts'

export function texts(): Hostile[] {
  const odd = [
    '\u202e\u2066{{now}}',
    '{{\u00a0now}}',
    '{{now\u200b}}',
    '{{ｎｏｗ}}',
    '{{trigger.\u{1f4a3}}}',
    '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}'.repeat(5_000),
    'Z' + '\u0300'.repeat(50_000),
    '{{trigger["text"]}}',
    "{{trigger.text | default: '}}'}}",
    '{% include "/etc/passwd" %}',
    '${process.exit(1)}',
    '{{#each trigger.list}}x{{/each}}',
    '{{{{{{now}}}}}}',
    '{{now}}'.repeat(10_000),
  ]
  const prompt = { prompt: '{{trigger.text}}'.repeat(50), max_tokens: 4_000 }
  const message = { id: 'mail', type: 'message', channel: 'email', to: 'a@example.com', subject: 's' }
  return [
    ...odd.map((template) => set(`text ${template.slice(0, 20)}`, template)),
    flow('a prompt that grows', [{ ...message, body: 'x', ai: prompt }]),
    flow('a prompt of nothing else than braces', [
      { ...message, body: 'x', ai: { prompt: '{{'.repeat(10_000) } },
    ]),
    flow('a mail that grows', [{ ...message, body: '{{trigger.text}}'.repeat(50) }]),
    flow('a mail to a text without end', [{ ...message, to: '{{trigger.text}}', body: 'x' }]),
    flow('a host that is templated', [
      { id: 'h', type: 'http', method: 'GET', url: 'http://{{trigger.text}}/' },
    ]),
    flow('an address of the house', [
      {
        id: 'h',
        type: 'http',
        method: 'GET',
        url: 'http://169.254.169.254/latest/',
        retry: { max_retries: 0 },
      },
    ]),
    flow('a file', [{ id: 'h', type: 'http', method: 'GET', url: 'file:///etc/passwd' }]),
    flow('a body that grows', [
      {
        id: 'h',
        type: 'http',
        method: 'POST',
        url: 'http://127.0.0.1:9/',
        body: many(20, () => '{{trigger.text}}'),
        retry: { max_retries: 0 },
      },
    ]),
    flow('numbers of every size', [
      { id: 'a', type: 'set', variables: { a: -0, b: 1e308, c: 5e-324, d: Number.MAX_SAFE_INTEGER } },
    ]),
    flow('settings beyond all', [{ id: 'a', type: 'stop' }], {
      settings: { timeout: 1e308, retry_count: 1e9, retry_delay: -1, lifetime: '1e9 days' },
    }),
    flow('an enrolment key without end', [{ id: 'a', type: 'stop' }], {
      settings: { enrolment: { key: '{{trigger.text}}'.repeat(100), while_active: 'restart' } },
    }),
    flow('variables of everything', [{ id: 'a', type: 'stop' }], {
      variables: Object.fromEntries(many(5_000, (n) => [`v${n}`, n])),
    }),
    flow('deep input', [{ id: 'a', type: 'set', variables: { a: nest(1, 50) } }]),
  ]
}
