import fc from 'fast-check'
import t from 'tap'
import { parseJson } from '#lib/json/index.ts'
import type { TemplateScope } from '#lib/template/index.ts'
import {
  compileTemplate,
  compileTemplateTree,
  describeFilters,
  FILTERS,
  renderTemplate,
  templateReferences,
} from '#lib/template/index.ts'

const now = new Date('2026-06-15T12:00:00Z')

const scope: TemplateScope = {
  trigger: {
    name: 'Ana',
    email: 'ana@example.com',
    total: 129.95,
    paid: false,
    note: null,
    empty: '',
    tags: ['vip', 'b2b'],
    items: [{ sku: 'SHOE-1', price: '19.99' }],
    starts_at: '2026-07-04T13:30:00Z',
    'first-name': 'Ana-Maria',
    braces: '{{trigger.email}}',
  },
  steps: { find: { output: { id: 'cus_1', rows: [{ id: 7 }] } } },
  variables: { days: '3 days' },
  tenant: { id: '11111111-1111-1111-1111-111111111111' },
}

/** Returns the rendered tree; an error is its text. */
function render(tree: unknown, from: TemplateScope = scope, maxBytes?: number): unknown {
  const compiled = compileTemplateTree(tree)
  if ('problems' in compiled) return `problem ${compiled.problems.map(({ code }) => code).join(' ')}`
  const rendered = renderTemplate(compiled.template, from, { now, ...(maxBytes && { maxBytes }) })
  return 'value' in rendered ? rendered.value : `error ${rendered.error.path}: ${rendered.error.message}`
}

t.test('texts are filled in from every root', (t) => {
  t.equal(render('Welcome {{trigger.name}}!'), 'Welcome Ana!')
  t.equal(render('{{ trigger.items[0].sku }}/{{trigger.items.0.sku}}'), 'SHOE-1/SHOE-1')
  t.equal(
    render('{{steps.find.output.rows[0].id}} of {{tenant.id}}'),
    `7 of ${String(scope.tenant && 11111111)}-1111-1111-1111-111111111111`,
  )
  t.equal(render('{{trigger.first-name}}'), 'Ana-Maria')
  t.equal(render('no template'), 'no template')
  t.equal(render(''), '')
  t.end()
})

t.test('a text that is exactly one expression keeps its type', (t) => {
  t.equal(render('{{trigger.total}}'), 129.95)
  t.equal(render('{{trigger.paid}}'), false)
  t.equal(render('{{trigger.note}}'), null)
  t.same(render('{{trigger.tags}}'), ['vip', 'b2b'])
  t.same(render('{{trigger.items[0]}}'), { sku: 'SHOE-1', price: '19.99' })
  t.equal(render(' {{trigger.total}}'), ' 129.95')
  t.equal(render('{{trigger.tags}}!'), '["vip","b2b"]!')
  t.end()
})

t.test('trees are filled in where their texts are, and nowhere else', (t) => {
  t.same(render({ to: '{{trigger.email}}', list: [1, null, '{{trigger.total}}'], plain: { a: 'b' } }), {
    to: 'ana@example.com',
    list: [1, null, 129.95],
    plain: { a: 'b' },
  })
  t.same(render({ '{{trigger.name}}': 1 }), { '{{trigger.name}}': 1 }, 'names of members stay')
  t.same(render(5), 5)
  t.end()
})

t.test('times move by durations', (t) => {
  t.equal(render('{{now}}'), '2026-06-15T12:00:00.000Z')
  t.equal(render('{{now + 3 days}}'), '2026-06-18T12:00:00.000Z')
  t.equal(render('{{trigger.starts_at - 24 hours}}'), '2026-07-03T13:30:00.000Z')
  t.equal(render('{{ now + 1 day - PT90M | date: "%H:%M" }}'), '10:30')
  t.match(render('{{trigger.name + 3 days}}'), /is not a time/)
  t.equal(render('{{now + trigger.name}}'), 'problem template_syntax')
  t.equal(render('{{now+3 days}}'), 'problem unknown_root')
  t.end()
})

t.test('a missing value is an error of the step, unless there is a default', (t) => {
  t.match(render({ a: ['{{trigger.phone}}'] }), /^error \/a\/0: {{trigger.phone}} is missing/)
  t.match(render('{{item.sku}}'), /is missing/)
  t.match(render('Note: {{trigger.note}}'), /is null/)
  t.equal(render('{{trigger.phone | default: "none"}}'), 'none')
  t.equal(render('{{trigger.phone | upcase | default: trigger.name}}'), 'Ana')
  t.equal(render('{{trigger.empty | default: 5}}'), 5)
  t.equal(render('{{trigger.note | default: ""}}'), '')
  t.equal(render('{{trigger.paid | default: true}}'), false)
  t.match(render('{{trigger.phone | default: trigger.mobile}}'), /is missing: give it a default/)
  t.equal(render('{{trigger.phone | default: trigger.mobile | default: "x"}}'), 'x')
  t.equal(render('Hi {{trigger.phone | upcase | default: trigger.mobile | default: "x"}}'), 'Hi x')
  t.match(
    render('{{trigger.name | first | first | split: "x" | first | split: "A" | last | first}}'),
    /missing/,
  )
  t.end()
})

t.test('what is filled in is never read as a template', (t) => {
  t.equal(render('{{trigger.braces}}'), '{{trigger.email}}')
  t.equal(render('<{{trigger.braces | trim}}>'), '<{{trigger.email}}>')
  t.equal(render('{{ "{{" }}trigger.email}}'), '{{trigger.email}}')
  t.equal(render('{"a":{"b":{{trigger.total}}}}'), '{"a":{"b":129.95}}')
  t.end()
})

t.test('numbers keep the digits that they came with', (t) => {
  const data = parseJson(Buffer.from('{"id":9007199254740993,"price":0.1}'))
  const from = { trigger: data }
  t.equal(render('{{trigger.id}}!', from), '9007199254740993!')
  t.equal(JSON.stringify(render({ id: '{{trigger.id}}' }, from)), '{"id":9007199254740993}')
  t.equal(JSON.stringify(render('{{trigger.id | plus: 1}}', from)), '9007199254740994')
  t.equal(render('{{trigger.price | plus: 0.2}}', from), 0.3)
  t.equal(render('{{trigger.price | times: "1.10" | minus: 0.01}}', from), 0.1)
  t.equal(render('{{trigger.id | json}}', from), '9007199254740993')
  t.equal(JSON.stringify(render('{{12345678901234567890}}')), '12345678901234567890')
  t.match(render('{{trigger.id | divided_by: 0}}', from), /divides by zero/)
  t.end()
})

t.test('every filter does what its example says', (t) => {
  for (const { name, example } of describeFilters()) {
    t.same(render(example.template, { trigger: example.trigger }), example.result, name)
    t.match(example.template, `| ${name}`)
  }
  const wanted =
    'default upcase downcase capitalize trim truncate replace split join map where sum sort group_by uniq reverse slice concat first last size round plus minus times divided_by date add in_zone money to_text json url_encode raw_url escape raw strip_html'
  t.same([...FILTERS.keys()].sort(), wanted.split(' ').sort())
  t.end()
})

t.test('filters at their edges', (t) => {
  const cases: [string, unknown][] = [
    ['{{"😀😀😀" | truncate: 2}}', '😀…'],
    ['{{"abc" | truncate: 3}}', 'abc'],
    ['{{"abc" | truncate: 0}}', ''],
    ['{{"abcdef" | truncate: 2, "..."}}', '..'],
    ['{{"😀" | size}}', 1],
    ['{{"a😀" | last}}', '😀'],
    ['{{"" | capitalize}}', ''],
    ['{{"éa" | capitalize}}', 'Éa'],
    ['{{"$&" | replace: "$", "$$"}}', '$$&'],
    ['{{"a.b" | replace: ".", "-"}}', 'a-b'],
    ['{{-2.5 | round}}', -3],
    ['{{2.5 | round}}', 3],
    ['{{1.005 | round: 2}}', 1.01],
    ['{{-0.4 | round}}', 0],
    ['{{10 | divided_by: 4}}', 2.5],
    ['{{1 | divided_by: 3}}', 0.333333333333333],
    ['{{trigger.tags | join}}', 'vip, b2b'],
    ['{{trigger.items | join}}', '{"sku":"SHOE-1","price":"19.99"}'],
    ['{{trigger.items[0].price | times: 2 | money: "eur", "de-DE"}}', '39,98\u00a0€'],
    ['{{trigger.starts_at | date: "%d.%m.%Y %H:%M %z", "Asia/Kolkata"}}', '04.07.2026 19:00 +0530'],
    ['{{"2026-01-05" | date: "%-m/%-d/%y %a %b %e %I %p"}}', '1/5/26 Mon Jan 5 12 AM'],
    ['{{trigger.starts_at | date: "100%%"}}', '100%'],
    [
      '{{trigger.starts_at | date: "%A %d %B %Y %T %z %s"}}',
      'Saturday 04 July 2026 13:30:00 +0000 1783171800',
    ],
    [
      '{{trigger.starts_at | date: "%A %d %B %Y %T %z %s", "Etc/UTC"}}',
      'Saturday 04 July 2026 13:30:00 +0000 1783171800',
    ],
    ['{{"a b/ç" | url_encode}}', 'a%20b%2F%C3%A7'],
    [`{{"<a href='x'>&" | escape}}`, '&lt;a href=&#39;x&#39;&gt;&amp;'],
    ["{{'it\\'s' | upcase}}", "IT'S"],
    ['{{true | upcase}}', 'TRUE'],
  ]
  for (const [template, result] of cases) t.same(render(template), result, template)
  t.end()
})

t.test('what is wrong is said with its place in the tree and in the text', (t) => {
  const compiled = compileTemplateTree({ a: ['ok', 'x {{nope.y}} {{trigger.a | nofilter}} {{trigger.b'] })
  t.same('problems' in compiled && compiled.problems.map(({ pointer, code, at }) => [pointer, code, at]), [
    ['/a/1', 'unknown_root', 2],
    ['/a/1', 'unknown_filter', 13],
    ['/a/1', 'template_syntax', 38],
  ])
  t.equal(render('{{trigger.total | round: "x"}}'), 'problem invalid_filter_argument')
  t.equal(render('{{trigger.total | round: 1, 2}}'), 'problem invalid_filter_argument')
  t.equal(render('{{trigger.name | replace: "a"}}'), 'problem invalid_filter_argument')
  t.equal(render('{{trigger.at | date: "%Q"}}'), 'problem invalid_filter_argument')
  t.equal(render('{{trigger.at | date: "%Y", "Mars/Base"}}'), 'problem invalid_filter_argument')
  t.match(render('{{trigger.tags | upcase}}'), /gives "upcase" a value that is list, not scalar/)
  t.match(render('{{trigger.starts_at | date: "%Y", trigger.name}}'), /zone that is text, not an IANA/)
  t.notMatch(render('{{trigger.email | plus: 1}}'), /example\.com/, 'messages never hold values')
  t.end()
})

t.test('references tell which paths are read, with and without a default', (t) => {
  const compiled = compileTemplateTree({
    to: '{{steps.find.output.email}} {{now}}',
    all: ['{{trigger.a | default: variables.b}}'],
  })
  if ('problems' in compiled) throw new Error('does not compile')
  t.same(
    templateReferences(compiled.template).map((each) => [each.pointer, each.operand.text, each.hasDefault]),
    [
      ['/to', 'steps.find.output.email', false],
      ['/to', 'now', false],
      ['/all/0', 'trigger.a', true],
      ['/all/0', 'variables.b', false],
    ],
  )
  t.end()
})

t.test('any text without braces comes out unchanged, any value as it went in', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      fc.pre(!text.includes('{{'))
      t.equal(render(text), text)
    }),
  )
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      t.same(render('{{trigger}}', { trigger: value }), value)
    }),
  )
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (before, value, after) => {
      fc.pre(!`${before}${after}`.includes('{') && !after.includes('}'))
      t.equal(
        render(`${before}x{{trigger.v}}y${after}`, { trigger: { v: value } }),
        `${before}x${value}y${after}`,
      )
    }),
  )
  t.end()
})

t.test('compiling any text ends in a template or in problems', (t) => {
  const piece = fc.oneof(
    fc.constantFrom('{{', '}}', '{', '}', '|', ':', ',', '"', "'", '\\', ' ', '[', ']', '.', '+', '-'),
    fc.constantFrom('trigger', 'now', 'steps', 'default', 'upcase', '3 days', '0', 'null'),
    fc.constantFrom(
      '{% ',
      ' %}',
      '{%-',
      '-%}',
      'for x in ',
      'if ',
      'else',
      'endif',
      'endfor',
      ' == ',
      ' and ',
      'x',
    ),
    fc.constantFrom(
      '{% if trigger %}',
      '{% endif %}',
      '{% for x in trigger.tags %}',
      '{% endfor %}',
      '{{x}}',
      '\n',
    ),
    fc.string({ maxLength: 3 }),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const text = pieces.join('')
      const compiled = compileTemplate(text)
      if ('problems' in compiled) {
        t.ok(compiled.problems.length > 0)
        for (const { at } of compiled.problems) t.match(text.slice(at, at + 2), /^{[{%]$/)
      } else t.ok(renderTemplate(compiled.template, scope, { now }))
    }),
    { numRuns: 500 },
  )
  t.end()
})
