import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import { CUSTOMER_ADDRESS, messageStep } from '#modules/flow-template/index.ts'

/** Of CPU time; a time that grows with the square of the text takes minutes. */
const MAX_MS = 3000

function htmlOf(body: string): unknown {
  const said = { channel: 'email', subject: 'Hi', body, format: 'html', ai_prompt: '' } as const
  return messageStep('message', said, CUSTOMER_ADDRESS)['body']
}

t.test('a body without markup becomes HTML line by line', (t) => {
  const written: [body: string, html: string][] = [
    ['1 < 2 & 3\nEnd', '1 &lt; 2 &amp; 3<br>\nEnd'],
    ['{{trigger.a}}\n{{trigger.b}}', '{{trigger.a}}<br>\n{{trigger.b}}'],
    [
      '{% if trigger.a %}\n{{trigger.a}}\n{% endif %}\nEnd',
      '{% if trigger.a %}\n{{trigger.a}}<br>\n{% endif %}\nEnd',
    ],
    ['A {% if trigger.a %}\nB{% endif %}', 'A {% if trigger.a %}<br>\nB{% endif %}'],
    ['<p>{{trigger.a}}</p>\n&', '<p>{{trigger.a}}</p>\n&'],
    ['<a href="{{trigger.url}}">A</a>\n', '<a href="{{trigger.url}}">A</a>\n'],
    ['{{trigger.a | default: "<none>"}}\nEnd', '{{trigger.a | default: "<none>"}}<br>\nEnd'],
    [
      '{% if trigger.a <trigger.b %}\n1{% endif %} -> 2\nEnd',
      '{% if trigger.a <trigger.b %}\n1{% endif %} -> 2<br>\nEnd',
    ],
    ['<{{trigger.a}}b>\n', '&lt;{{trigger.a}}b><br>\n'],
    ['{{ open {{trigger.a}}\n', '{{ open {{trigger.a}}<br>\n'],
  ]
  for (const [body, html] of written) t.equal(htmlOf(body), html, body)
  t.end()
})

t.test('a body is looked through once', (t) => {
  const timer = cpuTimer()
  for (const text of ['{{', '{%', '{% {{', '<a', '\n\t', '{{a}}\n '])
    htmlOf(text.repeat(300_000 / text.length))
  t.ok(timer() < MAX_MS)
  t.end()
})
