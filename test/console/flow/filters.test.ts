import t from 'tap'
import { asksForFilter, filterEntries, withFilter } from '#console/src/forms/filters.ts'
import { compileTemplate, describeFilters } from '#lib/template/index.ts'

t.test('every filter is offered, as it may be written', (t) => {
  const entries = filterEntries()
  t.strictSame(
    entries.map(({ path }) => /^\w+/.exec(path)?.[0]),
    describeFilters().map(({ name }) => name),
  )
  for (const { path } of entries) {
    const text = withFilter('{{trigger.x}}', 13, path)?.text
    t.equal(text, `{{trigger.x | ${path}}}`)
    t.notOk('problems' in compileTemplate(String(text)), path)
  }
  t.end()
})

t.test('a filter stands at the end of the expression that is meant', (t) => {
  const put = (text: string, caret: number) => withFilter(text, caret, 'upcase')?.text
  const two = 'Hi {{trigger.a}} and {{trigger.b}}!'
  t.equal(put(two, 8), 'Hi {{trigger.a | upcase}} and {{trigger.b}}!')
  t.equal(put(two, 18), 'Hi {{trigger.a | upcase}} and {{trigger.b}}!')
  t.equal(put(two, two.length), 'Hi {{trigger.a}} and {{trigger.b | upcase}}!')
  t.equal(put(two, 0), 'Hi {{trigger.a | upcase}} and {{trigger.b}}!')
  t.equal(put('{{trigger.a |', 13), '{{trigger.a | upcase}}')
  t.equal(put('{{trigger.a | }}', 13), '{{trigger.a | upcase}}')
  t.equal(put('none', 2), undefined)
  t.strictSame(withFilter('{{a}}!', 5, 'upcase'), { text: '{{a | upcase}}!', caret: 14 })
  t.end()
})

t.test('a bar in an expression asks for one', (t) => {
  t.ok(asksForFilter('Hi {{trigger.a |'))
  t.ok(asksForFilter('{{trigger.a | default: "x" |'))
  for (const text of ['a |', '{{a}} |', '{{ |', '{{a | default: "x |']) t.notOk(asksForFilter(text), text)
  t.end()
})
