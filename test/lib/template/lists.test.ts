import fc from 'fast-check'
import t from 'tap'
import { parseJson } from '#lib/json/index.ts'
import { compileTemplate, renderHtml, renderTemplate, textToHtml } from '#lib/template/index.ts'

const now = new Date('2026-06-15T12:00:00Z')

function run(text: string, trigger: unknown, zone?: string): unknown {
  const compiled = compileTemplate(text)
  if ('problems' in compiled) return `problem ${compiled.problems.map(({ message }) => message).join(' | ')}`
  const rendered = renderTemplate(compiled.template, { trigger }, { now, zone })
  return 'value' in rendered ? rendered.value : `error ${rendered.error.message}`
}

function html(text: string, trigger: unknown): unknown {
  const compiled = compileTemplate(text)
  if ('problems' in compiled) throw new Error(JSON.stringify(compiled.problems))
  const rendered = renderHtml(compiled.template, { trigger }, { now })
  return 'value' in rendered ? rendered.value : `error ${rendered.error.message}`
}

t.test('list filters at their edges', (t) => {
  const items = [
    { sku: 'B', price: '19.99', gift: true, color: { name: 'red' } },
    { sku: 'A', price: 5, color: { name: 'blue' } },
    { sku: 'C', gift: false, color: { name: 'red' } },
  ]
  const cases: [string, unknown][] = [
    ['{{trigger.items | map: "color.name"}}', ['red', 'blue', 'red']],
    ['{{trigger.items | map: "price"}}', ['19.99', 5, null]],
    ['{{trigger.items | map: "constructor"}}', [null, null, null]],
    ['{{trigger.items | where: "gift" | map: "sku"}}', ['B']],
    ['{{trigger.items | where: "color.name", "red" | map: "sku"}}', ['B', 'C']],
    ['{{trigger.items | where: "price", "5" | size}}', 0],
    ['{{trigger.items | where: "price", 5 | size}}', 1],
    ['{{trigger.items | sum: "price"}}', 24.99],
    ['{{trigger.numbers | sum}}', 0.6],
    ['{{trigger.none | sum}}', 0],
    ['{{trigger.items | sort: "sku" | map: "sku"}}', ['A', 'B', 'C']],
    ['{{trigger.items | sort: "sku" | reverse | map: "sku"}}', ['C', 'B', 'A']],
    ['{{trigger.items | sort: "price" | map: "sku"}}', ['A', 'B', 'C']],
    ['{{trigger.mixed | sort}}', [2, 10, '1', 'a', true, null]],
    ['{{trigger.items | group_by: "color.name" | map: "name"}}', ['red', 'blue']],
    ['{{trigger.items | group_by: "color.name" | map: "size"}}', [2, 1]],
    ['{{trigger.items | uniq: "color.name" | map: "sku"}}', ['B', 'A']],
    ['{{trigger.same | uniq}}', [1, '1', { a: 1, b: 2 }]],
    ['{{trigger.numbers | slice: -2}}', [0.2, 0.3]],
    ['{{trigger.numbers | slice: 1, 1}}', [0.2]],
    ['{{trigger.numbers | slice: 9}}', []],
    ['{{trigger.numbers | slice: -9, 1}}', [0.1]],
    ['{{"a😀b" | slice: 1, 1}}', '😀'],
    ['{{"abc" | slice: -2}}', 'bc'],
    ['{{trigger.numbers | concat: trigger.none | size}}', 3],
    ['{{trigger.number | to_text}}', '42'],
    ['{{trigger.numbers | to_text}}', '[0.1,0.2,0.3]'],
    ['{{trigger.missing | sort | default: "none"}}', 'none'],
  ]
  const trigger = {
    items,
    numbers: [0.1, 0.2, 0.3],
    none: [],
    number: 42,
    mixed: ['a', 10, null, 2, true, '1'],
    same: [1, '1', { a: 1, b: 2 }, 1, { b: 2, a: 1 }, '1'],
  }
  for (const [text, wanted] of cases) t.strictSame(run(text, trigger), wanted, text)
  t.match(run('{{trigger.items | sum: "sku"}}', trigger), /adds up a value that is text, not a number/)
  t.match(run('{{trigger.number | map: "a"}}', trigger), /gives "map" a value that is number, not list/)
  t.match(run('{{trigger.items | map}}', trigger), /problem "map" takes path/)
  t.match(run('{{trigger.items | map: "a b"}}', trigger), /problem "map" needs a path/)
  t.match(run('{{trigger.items | concat: trigger.number}}', trigger), /not a list/)
  t.match(run('{{trigger.items | slice: 1.5}}', trigger), /problem "slice" needs a whole number/)
  t.end()
})

t.test('numbers keep their digits in lists', (t) => {
  const trigger = parseJson(Buffer.from('{"ids":[9007199254740993,9007199254740992,1.0,1]}'))
  t.equal(JSON.stringify(run('{{trigger.ids | sort}}', trigger)), '[1,1,9007199254740992,9007199254740993]')
  t.equal(run('{{trigger.ids | uniq | size}}', trigger), 3)
  t.equal(JSON.stringify(run('{{trigger.ids | sum}}', trigger)), '18014398509481987')
  t.end()
})

t.test('sorting is stable, and the same as by hand', (t) => {
  fc.assert(
    fc.property(fc.array(fc.record({ key: fc.integer({ min: 0, max: 9 }), id: fc.nat() })), (list) => {
      t.strictSame(
        run('{{trigger.list | sort: "key"}}', { list }),
        list.toSorted((a, b) => a.key - b.key),
      )
    }),
    { numRuns: 50 },
  )
  t.end()
})

t.test('HTML is stripped to the text that it shows, in linear time', (t) => {
  const cases: [string, string][] = [
    ['<p>Hello <b>Ana</b></p>', 'Hello Ana\n'],
    ['a<br/>b<BR>c', 'a\nb\nc'],
    ['a<script>alert("</p>")</script>b<style>p{}</style>c', 'abc'],
    ['a<SCRIPT src=x>1</Script >b', 'ab'],
    ['a<!-- <b> -->b', 'ab'],
    ['5 < 6 and 7 > 3', '5 < 6 and 7 > 3'],
    ['a < b', 'a < b'],
    ['a <b', 'a <b'],
    ['a<!-- b', 'a'],
    ['a<script>b', 'a'],
    ['&lt;b&gt; &amp;amp; &#233;&#x1F600;&nbsp;&unknown; &#0;', '<b> &amp; é😀\u00a0&unknown; &#0;'],
  ]
  for (const [given, wanted] of cases) t.equal(run('{{trigger.x | strip_html}}', { x: given }), wanted, given)
  for (const piece of ['<', '<a ', '<!--', '<script>', '<script></script', '&#', '<br', '<a>']) {
    const x = piece.repeat(Math.floor(200_000 / piece.length))
    t.type(run('{{trigger.x | strip_html}}', { x }), 'string', piece)
  }
  t.end()
})

t.test('in HTML every value is text, but for what is marked as raw', (t) => {
  const trigger = {
    name: '<b>Ana</b> & "Bo"',
    banner: '<i>Sale</i>',
    items: [{ name: '<u>' }],
    url: 'https://example.com/?a=1&b=2',
  }
  t.equal(html('<p>{{trigger.name}}</p>', trigger), '<p>&lt;b&gt;Ana&lt;/b&gt; &amp; &quot;Bo&quot;</p>')
  t.equal(
    html('{{trigger.name}}', trigger),
    '&lt;b&gt;Ana&lt;/b&gt; &amp; &quot;Bo&quot;',
    'one expression alone',
  )
  t.equal(
    html('{{trigger.banner | raw}}{{trigger.banner | raw | upcase}}', trigger),
    '<i>Sale</i>&lt;I&gt;SALE&lt;/I&gt;',
  )
  t.equal(html('{{trigger.banner | escape}}', trigger), '&lt;i&gt;Sale&lt;/i&gt;', 'not twice')
  t.equal(html('{% for x in trigger.items %}<li>{{x.name}}{% endfor %}', trigger), '<li>&lt;u&gt;')
  t.equal(html('<a href="{{trigger.url}}">', trigger), '<a href="https://example.com/?a=1&amp;b=2">')
  t.equal(html('{{trigger.items}}', trigger), '[{&quot;name&quot;:&quot;&lt;u&gt;&quot;}]')
  t.equal(
    run('<p>{{trigger.banner | raw}}{{trigger.banner}}', trigger),
    '<p><i>Sale</i><i>Sale</i>',
    'in text nothing is',
  )
  t.equal(
    textToHtml('Hello <Ana>,\nline\n\n\nBye & thanks\n'),
    '<p>Hello &lt;Ana&gt;,<br>\nline</p>\n<p>Bye &amp; thanks</p>',
  )
  t.end()
})
