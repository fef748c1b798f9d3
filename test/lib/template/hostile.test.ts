import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import type { TemplateScope } from '#lib/template/index.ts'
import { compileTemplateTree, MAX_RENDERED_BYTES, renderTemplate } from '#lib/template/index.ts'

/** Of CPU time, generous for slow machines; work that is not bounded takes minutes or all memory. */
const MAX_MS = 3000

const now = new Date('2026-06-15T12:00:00Z')
const long = 'a'.repeat(200_000)
const items = Array.from({ length: 20_000 }, (_, index) => `item ${index}`)
const scope: TemplateScope = {
  trigger: {
    name: 'Ana',
    long,
    items,
    nested: Array.from({ length: 100 }, () => ({ long: long.slice(0, 1000) })),
    template: '{{trigger.secret}}{{now}}',
    secret: 'not-for-templates',
    number: 5,
    zones: ['Europe/Lisbon', 'Asia/Tokyo'],
    at: '2026-06-15T12:00:00Z',
  },
  steps: { a: { output: { text: 'x' } } },
  variables: {},
  item: { sku: 'A' },
  tenant: { id: '1' },
}

/** `null`: it does not compile, or its rendering is an error. */
function render(text: string): unknown {
  const compiled = compileTemplateTree({ text })
  if ('problems' in compiled) return null
  const rendered = renderTemplate(compiled.template, scope, { now })
  return 'error' in rendered ? null : (rendered.value as { text: unknown }).text
}

const PROTOTYPE_NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'valueOf',
  'hasOwnProperty',
  '__defineGetter__',
]
const PROTOTYPE_PATHS = [
  ...[
    'trigger',
    'steps.a.output',
    'item',
    'tenant',
    'variables',
    'trigger.name',
    'trigger.items',
    'trigger.number',
  ].flatMap((root) => PROTOTYPE_NAMES.map((name) => `{{${root}.${name}}}`)),
  ...PROTOTYPE_NAMES.map((name) => `{{${name}}}`),
  ...PROTOTYPE_NAMES.map((name) => `{{steps.${name}.output}}`),
  ...PROTOTYPE_NAMES.map((name) => `{{trigger.name | ${name}}}`),
  ...PROTOTYPE_NAMES.map((name) => `{{trigger.name | replace: "a", trigger.${name}}}`),
  '{{trigger.constructor.constructor("return process")()}}',
  '{{trigger["constructor"]}}',
  '{{trigger.items.length}}',
  '{{trigger.items.map}}',
  '{{trigger.name.length}}',
  '{{trigger.name[0]}}',
  '{{this}}',
  '{{globalThis.process.env}}',
  '{{process.env.PATH}}',
  '{{require("fs")}}',
  '{{now.constructor}}',
  '{{steps}}',
  '{{steps.a}}',
  '{{steps.a.config}}',
]

const MALFORMED = [
  ...[
    '{{',
    '{{}}',
    '{{ }}',
    '{{{',
    '{{{trigger.name}}}',
    '{{trigger.name}',
    '{{trigger.name} }',
    '{{{{trigger.name}}}}',
  ],
  ...[
    '{{|}}',
    '{{trigger.name|}}',
    '{{trigger.name||upcase}}',
    '{{|upcase}}',
    '{{trigger.name | upcase | }}',
  ],
  ...['{{"}}', "{{'}}", '{{"a}}', '{{"a" "b"}}', '{{"a"b}}', '{{trigger.name "b"}}', '{{"\\"}}', '{{`a`}}'],
  ...[
    '{{trigger.}}',
    '{{.trigger}}',
    '{{trigger..name}}',
    '{{trigger.[0]}}',
    '{{trigger[}}',
    '{{trigger[0}}',
    '{{trigger[x]}}',
  ],
  ...[
    '{{trigger[-1]}}',
    '{{trigger[1e9]}}',
    '{{trigger[99999999999]}}',
    '{{trigger name}}',
    '{{[0]}}',
    '{{trigger.name]}}',
  ],
  ...[
    '{{now +}}',
    '{{now + }}',
    '{{now + 3}}',
    '{{now + days}}',
    '{{now * 3 days}}',
    '{{now + 3 months}}',
    '{{now + 999999 days}}',
  ],
  ...[
    '{{now + -3 days}}',
    '{{now ++ 3 days}}',
    `{{now ${'+ 1 day '.repeat(6)}}}`,
    '{{trigger.number + 1}}',
    '{{1 + 1}}',
  ],
  ...[
    '{{trigger.name | truncate}}',
    '{{trigger.name | truncate:}}',
    '{{trigger.name | truncate: -1}}',
    '{{trigger.name | truncate: 1.5}}',
  ],
  ...[
    '{{trigger.name | truncate: 1 2}}',
    '{{trigger.name | truncate: 1,}}',
    '{{trigger.name | upcase: 1}}',
    '{{trigger.name | upcase(1)}}',
  ],
  ...[
    '{{trigger.name | replace: "", "x"}}',
    '{{trigger.name | split: ""}}',
    `{{trigger.name | replace: "${'a'.repeat(101)}", "b"}}`,
  ],
  ...[
    '{{trigger.number | round: 1e3}}',
    '{{trigger.number | divided_by: 0}}',
    '{{trigger.number | plus: "x"}}',
    '{{trigger.name | plus: 1}}',
  ],
  ...[
    '{{trigger.at | date: "%!"}}x{{',
    '{{trigger.at | date: 5}}',
    '{{trigger.at | date: "%Y", "../../etc/passwd"}}',
    '{{trigger.at | add: "1 year"}}',
  ],
  ...[
    '{{trigger.number | money: "EURO"}}',
    '{{trigger.number | money: "EUR", "zz_invalid_locale"}}',
    '{{trigger.name | money: "EUR"}}',
  ],
  ...[
    '{% if true %}{{% endif %}',
    '{{#each trigger.items}}',
    '{{/each}}',
    '{{> partial}}',
    '{{! comment }}',
    '{{else}}',
    '{{= <% %> =}}',
  ],
  ...[
    '{{trigger.name; drop table}}',
    '{{trigger.name && 1}}',
    '{{trigger.name ? 1 : 2}}',
    '{{(trigger.name)}}',
    '{{trigger.name\0}}',
  ],
  `{{${'trigger'.padEnd(300, '.a')}}}`,
  `{{${'('.repeat(1000)}}}`,
  `{{trigger.name ${'| upcase '.repeat(21)}}}`,
  '{{trigger.name}}'.repeat(1001),
  'x'.repeat(256 * 1024 + 1),
  `{{trigger.name | default: ${'"'.repeat(99)}}}`,
]

/** Texts that multiply what they read, in one expression or in very many. */
const AMPLIFYING = [
  '{{trigger.long}}{{trigger.long}}',
  '{{trigger.long | replace: "a", "aaaaaaaaaa"}}',
  '{{trigger.long | replace: "a", trigger.long}}',
  '{{trigger.items | join: trigger.long}}',
  '{{trigger.items | json | replace: ",", trigger.long}}',
  `{{"aa" ${'| replace: "a", "aaaaaaaaaaaaaaaaaaaa" '.repeat(6)}}}`,
  `{{"aaaaaaaaaa" ${'| replace: "a", "aaaaaaaaaa" '.repeat(19)}}}`,
  `{{trigger.long ${'| upcase | downcase '.repeat(10)}}}`.repeat(10),
  '{{trigger.long | url_encode | replace: "a", "%%%" | url_encode}}',
  '{{trigger.long | replace: "a", "&" | escape}}',
  '{{trigger.long | replace: "a", "\\"" | split: "," | json}}',
  '{{trigger.items}}{{trigger.items}}',
  '{{trigger.nested}}{{trigger.nested}}{{trigger.nested}}',
  '{{trigger.long | split: "a"}}',
  '{{trigger.long | truncate: 10}}'.repeat(1000),
  '{{trigger.long | size}}'.repeat(1000),
  '{{trigger.long | replace: "a", ""}}'.repeat(1000),
  '{{trigger.long | truncate: 0}}'.repeat(1000),
  `{{${'9'.repeat(100)} ${'| times: '.concat('9'.repeat(100), ' ').repeat(5)}}}`,
  '{{trigger.long | money: "EUR"}}',
]

t.test('no path reaches anything that is not the data’s own', (t) => {
  for (const text of PROTOTYPE_PATHS) t.equal(render(text), null, text)
  t.end()
})

t.test('what is malformed does not compile or fails, and never becomes something else', (t) => {
  for (const text of MALFORMED) t.equal(render(text), null, text.slice(0, 80))
  t.end()
})

t.test('what multiplies is stopped early', (t) => {
  for (const text of AMPLIFYING) {
    const spent = cpuTimer()
    t.equal(render(text), null, text.slice(0, 80))
    const ms = spent()
    t.ok(ms < MAX_MS, `${Math.round(ms)} ms`)
  }
  t.end()
})

t.test('payloads of very many templates are stopped early, too', (t) => {
  const trees: unknown[] = [
    Array.from({ length: 20_000 }, () => '{{trigger.long | truncate: 0}}'),
    Array.from({ length: 20_000 }, () => '{{trigger.at | date: "%%" | truncate: 0}}'),
    Array.from({ length: 20_000 }, () => '{{trigger.at | date: "%Y", trigger.zones[0] | truncate: 0}}'),
    Array.from({ length: 20_000 }, () => '{{trigger.number | money: "EUR" | truncate: 0}}'),
    { a: Array.from({ length: 1000 }, () => '{{trigger}}') },
    Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`name${index}`, '{{trigger.name}}'])),
    ['{{now}}', 'x'.repeat(300_000)],
  ]
  for (const tree of trees) {
    const compiled = compileTemplateTree(tree)
    if ('problems' in compiled) throw new Error(JSON.stringify(compiled.problems))
    const spent = cpuTimer()
    const rendered = renderTemplate(compiled.template, scope, { now })
    const ms = spent()
    t.match(rendered, { error: { message: /too large|too much|larger than/ } })
    t.ok(ms < MAX_MS, `${Math.round(ms)} ms`)
  }
  t.end()
})

t.test('what is allowed stays within the limit, and keeps to data', (t) => {
  const fine: [string, unknown][] = [
    ['{{trigger.template}}', '{{trigger.secret}}{{now}}'],
    ['a {{trigger.template}}', 'a {{trigger.secret}}{{now}}'],
    ['{{trigger.template | replace: "secret", "name"}}', '{{trigger.name}}{{now}}'],
    ['{{"{{"}}trigger.secret}}', '{{trigger.secret}}'],
    ['}}', '}}'],
    ['{ {trigger.name} }', '{ {trigger.name} }'],
    ['{{trigger.long | truncate: 3, ""}}', 'aaa'],
    ['{{item.sku}}', 'A'],
  ]
  for (const [text, value] of fine) t.equal(render(text), value, text)
  const whole = render('{{trigger.long}}')
  t.ok(typeof whole === 'string' && whole.length < MAX_RENDERED_BYTES)
  t.end()
})

t.test('a name that is a prototype’s stays a plain member', (t) => {
  const tree = JSON.parse('{"__proto__":{"admin":"{{trigger.name}}"}}') as unknown
  const compiled = compileTemplateTree(tree)
  if ('problems' in compiled) throw new Error('does not compile')
  const rendered = renderTemplate(compiled.template, scope, { now })
  if ('error' in rendered) throw new Error(rendered.error.message)
  t.equal(JSON.stringify(rendered.value), '{"__proto__":{"admin":"Ana"}}')
  t.equal((rendered.value as { admin?: unknown }).admin, undefined)
  t.end()
})
