import t from 'tap'
import type { TemplateScope } from '#lib/template/index.ts'
import {
  compileTemplate,
  compileTemplateTree,
  renderTemplate,
  templateReferences,
} from '#lib/template/index.ts'
import { StepBudget } from '#lib/step-budget.ts'

const now = new Date('2026-06-15T12:00:00Z')

const trigger = {
  name: 'Ana',
  note: null,
  empty: '',
  total: 129.95,
  paid: false,
  gift: true,
  country: 'PT',
  status: 'shipped',
  previous_status: 'paid',
  tags: ['vip', 'b2b'],
  none: [],
  starts_at: '2026-06-16T09:00:00Z',
  items: [
    { name: 'Shirt', quantity: 2, price: '19.99', sizes: ['S', 'M'] },
    { name: 'Belt', quantity: 1, price: 25, note: 'long' },
  ],
}

function render(text: string, scope: TemplateScope = { trigger }): unknown {
  const compiled = compileTemplate(text)
  if ('problems' in compiled) return `problem ${compiled.problems.map(({ message }) => message).join(' | ')}`
  const rendered = renderTemplate(compiled.template, scope, { now })
  return 'value' in rendered ? rendered.value : `error ${rendered.error.message}`
}

t.test('line items are written into a text', (t) => {
  const text = `Dear {{trigger.name}},
{% for line in trigger.items %}
- {{line.quantity}} x {{line.name}}{% if line.note %} ({{line.note}}){% endif %}
{% else %}
Nothing.
{% endfor %}
Thank you`
  t.equal(render(text), 'Dear Ana,\n- 2 x Shirt\n- 1 x Belt (long)\nThank you')
  t.equal(render(text, { trigger: { name: 'Bo', items: [] } }), 'Dear Bo,\nNothing.\nThank you')
  t.equal(
    render(text, { trigger: { name: 'Bo' } }),
    'Dear Bo,\nNothing.\nThank you',
    'a list that is missing',
  )
  t.equal(render('{% for x in trigger.tags %}{{x}};{% endfor %}'), 'vip;b2b;')
  t.equal(
    render('{% for item in trigger.tags %}{{item}}{% endfor %}{{item}}', { trigger, item: '!' }),
    'vipb2b!',
  )
  t.end()
})

t.test('loops stand in loops, name their position, and take filtered lists', (t) => {
  t.equal(
    render(
      '{% for a in trigger.items %}{% for b in a.sizes %}{{a.name}} {{b}},{% else %}-{% endfor %}{% endfor %}',
    ),
    'Shirt S,Shirt M,-',
  )
  t.equal(
    render(
      '{% for a in trigger.items %}{{forloop.index}}/{{forloop.length}} {{a.name}}{% if forloop.last == false %}, {% endif %}{% endfor %}',
    ),
    '1/2 Shirt, 2/2 Belt',
  )
  t.equal(
    render(
      '{% for a in trigger.tags %}{% for b in trigger.tags %}{{forloop.index0}}{% endfor %}{{forloop.first}} {% endfor %}',
    ),
    '01true 01false ',
  )
  t.equal(
    render(
      '{% for g in trigger.items | group_by: "quantity" | reverse %}{{g.name}}: {{g.items | map: "name" | join}}; {% endfor %}',
    ),
    '1: Belt; 2: Shirt; ',
  )
  t.equal(render('{% for a in trigger.tags | slice: 1 %}{{a}}{% endfor %}'), 'b2b')
  t.end()
})

t.test('tests are those of the operator table, and the first branch that holds is taken', (t) => {
  const holds: [string, boolean][] = [
    ['trigger.total > 100', true],
    ['trigger.total >= 129.95', true],
    ['trigger.total < 100', false],
    ['trigger.total <= 129.94', false],
    ['trigger.total gt 100', true],
    ['trigger.country == "PT"', true],
    ['trigger.country=="PT"', true],
    ["trigger.country != 'PT'", false],
    ['trigger.country <> "ES"', true],
    ['trigger.country in "ES", "PT"', true],
    ['trigger.country not_in "ES", "PT"', false],
    ['trigger.country in trigger.tags', false],
    ['trigger.tags contains "vip"', true],
    ['trigger.name starts_with "A"', true],
    ['trigger.total between 100, 200', true],
    ['trigger.starts_at within_next "24 hours"', true],
    ['trigger.starts_at before now + 1 day', true],
    ['trigger.starts_at after now + 1 day', false],
    ['trigger.tags count 2', true],
    ['trigger.tags | size == 2', true],
    ['trigger.name | downcase == "ana"', true],
    ['trigger.missing exists', false],
    ['trigger.missing not_exists', true],
    ['trigger.missing == 1', false],
    ['trigger.missing != 1', true],
    ['trigger.note == null', true],
    ['trigger.gift is_true', true],
    ['trigger.status changed_to "shipped"', true],
    ['trigger.status changed', true],
    ['trigger.total changed', false],
    ['trigger.country == "PT" and trigger.total > 200', false],
    ['trigger.country == "ES" or trigger.total > 100', true],
    ['trigger.gift and trigger.paid or trigger.name', true],
    ['trigger.name or trigger.gift and trigger.paid', true],
    ['trigger.gift', true],
    ['trigger.total', true],
    ['trigger.paid', false],
    ['trigger.empty', false],
    ['trigger.none', false],
    ['trigger.note', false],
    ['trigger.missing', false],
    ['trigger.tags', true],
    ['trigger', true],
    ['trigger.total == "129.95"', false],
  ]
  for (const [test, wanted] of holds) {
    t.equal(render(`{% if ${test} %}yes{% else %}no{% endif %}`), wanted ? 'yes' : 'no', test)
  }
  const branches =
    '{% if trigger.total > 200 %}a{% elsif trigger.total > 100 %}b{% elsif trigger.gift %}c{% else %}d{% endif %}'
  t.equal(render(branches), 'b')
  t.equal(render(branches, { trigger: { total: 1 } }), 'd')
  t.equal(render('{% if trigger.missing %}a{% endif %}'), '')
  t.end()
})

t.test('a tag alone on its line leaves no line, and dashes take all white space along', (t) => {
  t.equal(render('a\n  {% if trigger.gift %}  \r\nb\n{% endif %}\nc'), 'a\nb\nc')
  t.equal(render('a {% if trigger.gift %}\nb{% endif %}\nc'), 'a \nb\nc', 'not alone')
  t.equal(render('a \n\n{%- if trigger.gift -%}\n\n b {%- endif %} c'), 'ab c')
  t.equal(render('{% for x in trigger.tags -%}\n  {{x}}\n{%- endfor %}'), 'vipb2b')
  t.equal(render('{% if trigger.gift %}\na\n{% endif %}'), 'a\n')
  t.end()
})

t.test('a text with a tag is text, and values in it are never templates', (t) => {
  t.equal(render('{% if trigger.gift %}{{trigger.total}}{% endif %}'), '129.95')
  const scope = {
    trigger: { a: '{% if trigger.b %}{{trigger.b}}{% endif %}', b: 'secret', list: ['{{trigger.b}}'] },
  }
  t.equal(render('{{trigger.a}}', scope), scope.trigger.a)
  t.equal(render('{% for x in trigger.list %}{{x}}{{ "{%" }}{% endfor %}', scope), '{{trigger.b}}{%')
  t.end()
})

t.test('what is missing in a branch that is taken is an error, and what is not taken is not read', (t) => {
  t.match(render('{% if trigger.gift %}{{trigger.phone}}{% endif %}'), /error {{trigger.phone}} is missing/)
  t.equal(render('{% if trigger.phone %}{{trigger.phone}}{% endif %}!'), '!')
  t.match(render('{% for x in trigger.phone %}{% endfor %}'), /is missing: say by {% else %}/)
  t.match(render('{% for x in trigger.note %}{% endfor %}'), /is null/)
  t.match(render('{% for x in trigger.name %}{% endfor %}'), /is text, and "for" needs a list/)
  t.match(render('{% for x in trigger.items[0] %}{% endfor %}'), /is object/)
  t.match(render('{% for x in trigger.items %}{{x.note}}{% endfor %}'), /{{x.note}} is missing/)
  t.match(render('{% if trigger.total > trigger.limit %}{% endif %}'), /{{trigger.limit}} is missing/)
  t.equal(render('{% if trigger.total > trigger.limit | default: 100 %}a{% endif %}'), 'a')
  t.end()
})

t.test('whatever the language does not know is an error that says what to write', (t) => {
  const wrong: [string, RegExp][] = [
    ['20 {% off', /no tag "off"/],
    ['{% unless trigger.a %}x{% endunless %}', /no tag "unless": turn the test round/],
    ['{% assign x = 1 %}', /use a set step/],
    ['{% raw %}', /"{{" /],
    ['{% If trigger.a %}', /no tag "If"/],
    ['{%%}', /no tag "%"/],
    ['{% if %}x{% endif %}', /cannot stand here/],
    ['{% if trigger.a', /Close the tag/],
    ['{% if trigger.a %}x', /Close this with {% endif %}/],
    ['{% for x in trigger.a %}x', /Close this with {% endfor %}/],
    ['x{% endif %}', /Nothing is open that "endif" belongs to/],
    ['x{% else %}', /Nothing is open that "else"/],
    ['{% for x in trigger.a %}{% elsif trigger.b %}{% endfor %}', /"elsif" belongs to/],
    ['{% for x in trigger.a %}{% endif %}', /close the {% for %} before it/],
    ['{% if trigger.a %}{% else %}{% else %}{% endif %}', /behind an else/],
    ['{% if trigger.a %}{% else %}{% elsif trigger.b %}{% endif %}', /behind an else/],
    ['{% if trigger.a = 1 %}{% endif %}', /Compare by ==/],
    ['{% if trigger.a === 1 %}{% endif %}', /cannot stand here|not a path/],
    ['{% if trigger.a like 1 %}{% endif %}', /"like" is no operator/],
    ['{% if trigger.a matches "x" %}{% endif %}', /"matches" is for condition steps/],
    ['{% if trigger.a any 1 %}{% endif %}', /"any" is for condition steps/],
    ['{% if trigger.a > "10" %}{% endif %}', /"gt" compares with a number/],
    ['{% if trigger.a between 1 %}{% endif %}', /needs two values/],
    ['{% if trigger.a between 1, 2, 3 %}{% endif %}', /needs two values/],
    ['{% if trigger.a before "tomorrow" %}{% endif %}', /"before" compares with a time/],
    ['{% if trigger.a == 1 && trigger.b %}{% endif %}', /"&&" cannot stand here/],
    ['{% if not trigger.a %}{% endif %}', /Nothing is called "not"/],
    ['{% if (trigger.a) %}{% endif %}', /Nothing is called/],
    ['{% if customer.name %}{% endif %}', /Nothing is called "customer"/],
    ['{% for trigger in trigger.a %}{% endfor %}', /"trigger" means something else/],
    ['{% for 5 in trigger.a %}{% endfor %}', /Name the item/],
    ['{% for a.b in trigger.a %}{% endfor %}', /Name the item/],
    ['{% for x of trigger.a %}{% endfor %}', /Write "in"/],
    ['{% for x in trigger.a limit: 2 %}{% endfor %}', /are filters/],
    ['{% for x in trigger.a reversed %}{% endfor %}', /are filters/],
    ['{% for x in trigger.a %}{{y.z}}{% endfor %}', /Nothing is called "y": start with one of x, trigger/],
    ['{% for x in trigger.a %}{% endfor %}{{x}}', /Nothing is called "x"/],
    ['{% for x in trigger.a %}{% else %}{{x}}{% endfor %}', /Nothing is called "x"/],
    ['{% for x in trigger.a %}{{forloop.parent}}{% endfor %}', /"forloop" has index/],
    ['{{forloop.index}}', /Nothing is called "forloop"/],
    ['{{#if trigger.a}}x{{/if}}', /Write {% if test %}/],
    ['{% if trigger.a %}'.repeat(12), /at most 10 blocks/],
    [`{% if ${Array(30).fill('trigger.a').join(' and ')} %}{% endif %}`, /at most 20 tests/],
    [`{% if trigger.a in ${Array(101).fill('trigger.b').join()} %}{% endif %}`, /at most 100 values/],
  ]
  for (const [text, message] of wrong) t.match(render(text), message, text)
  const broken = compileTemplate('{% for x of trigger.a %}{{x.b}} {{x.c}}{% endfor %} {% bad %} {{nobody}}')
  t.match(
    'problems' in broken && broken.problems.map(({ at }) => at),
    [0, 52, 62],
    'and nothing that follows from it',
  )
  t.end()
})

t.test('a problem points at the text that it is in', (t) => {
  const compiled = compileTemplateTree({ a: { b: ['x', 'y {% nope %}'] } })
  t.match(compiled, { problems: [{ pointer: '/a/b/1', code: 'template_syntax', at: 2 }] })
  t.end()
})

t.test('paths in blocks are known: through their lists, and as there where a test has found them', (t) => {
  const text =
    '{% for a in trigger.items | sort: "price" %}{{a.name}}{% for b in a.sizes %}{{b.x | default: a.y}}{% endfor %}{% endfor %}' +
    '{% if steps.s.output.z %}{{steps.s.output.z.q}}{{steps.s.output.other}}{% else %}{{steps.s.output.z}}{% endif %}'
  const compiled = compileTemplateTree(text)
  if ('problems' in compiled) throw new Error(JSON.stringify(compiled.problems))
  t.same(
    templateReferences(compiled.template).map(
      ({ operand: { root, path }, hasDefault }) => `${root} ${path.join('.')}${hasDefault ? ' ?' : ''}`,
    ),
    [
      'trigger items',
      'trigger items.0.name',
      'trigger items.0.sizes',
      'trigger items.0.sizes.0.x ?',
      'trigger items.0.y',
      'steps s.output.z ?',
      'steps s.output.z.q ?',
      'steps s.output.other',
      'steps s.output.z',
    ],
  )
  t.end()
})

t.test('no text and no data costs unbounded work', (t) => {
  const list = Array.from({ length: 20_000 }, (_, index) => ({ n: index, text: 'x'.repeat(20) }))
  const scope = { trigger: { list, text: 'a'.repeat(200_000) } }
  const nested = (depth: number, body: string): string =>
    depth === 0 ? body : `{% for x${depth} in trigger.list %}${nested(depth - 1, body)}{% endfor %}`
  t.match(render(nested(5, ''), scope), /too much work/)
  t.match(render(nested(3, '{% if trigger.text contains "b" %}{% endif %}'), scope), /too much work/)
  t.match(render(nested(2, '{{x1.n}}'), scope), /too much work|larger than/)
  t.match(render(nested(1, '{{x1.text}}'), scope), /larger than 256 KB/)
  t.match(
    render('{% for g in trigger.list | group_by: "text" %}{{g.items | json}}{% endfor %}', scope),
    /too large|larger/,
  )
  const compiled = compileTemplate(nested(4, ''))
  if ('problems' in compiled) throw new Error('it compiles')
  const budget = new StepBudget(1000)
  const rendered = renderTemplate(compiled.template, scope, { now, budget })
  t.match(rendered, { error: { message: /too much work/ } })
  t.equal(budget.left, 0, 'what others share is charged')
  t.end()
})

t.test('compiling takes time linear in the text', (t) => {
  const texts = [
    '{%'.repeat(100_000),
    '{% if trigger.a %}'.repeat(10_000),
    `${' '.repeat(100_000)}{% if trigger.a %}${' '.repeat(100_000)}`,
    `{% if trigger.a ${'and trigger.a '.repeat(10_000)}%}`,
    `{% for x in trigger.a ${'| reverse '.repeat(10_000)}%}`,
    '{% if trigger.a %}\n'.repeat(9) + ' \n'.repeat(60_000) + '{% endif %}\n'.repeat(9),
  ]
  for (const text of texts) {
    const compiled = compileTemplate(text)
    t.ok('template' in compiled || compiled.problems.length <= 20)
  }
  t.end()
})
