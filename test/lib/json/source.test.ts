import fc from 'fast-check'
import t from 'tap'
import { keepSources, sourceOf } from '#lib/json/source.ts'
import { parseJson } from '#lib/json/index.ts'

const NAMES = { list: 'events', members: ['data'] }

function read(text: string): unknown {
  const value = parseJson(Buffer.from(text))
  keepSources(text, value, NAMES)
  return value
}

t.test('a member is kept as it was written: numbers, order, escapes, spaces', async (t) => {
  for (const data of [
    '{"a":1.10,"b":-0,"c":1E2,"d":9007199254740993}',
    '{"10":1,"9":2}',
    '{ "a" : [ 1 , { "b" : "x\\u00e9\\n}]," } ] }',
    '{}',
    '{"data":{"data":1.0}}',
  ]) {
    for (const text of [`{"data":${data}}`, ` {"x": [1, "}"], "data" : ${data} , "y":null}`]) {
      t.equal(sourceOf((read(text) as { data: unknown }).data), data, text)
    }
  }
  const escaped = read('{"d\\u0061ta":{"n":1.0}}') as { data: unknown }
  t.equal(sourceOf(escaped.data), '{"n":1.0}')
})

t.test('line breaks between tokens are left out, and nothing inside of text', async (t) => {
  const { data } = read('{"data":{\n  "a": 1.0,\r\n\t"b": "x\\n  y"\n}}') as { data: unknown }
  t.equal(sourceOf(data), '{"a": 1.0,\r"b": "x\\n  y"}')
  t.same(JSON.parse(sourceOf(data) ?? ''), { a: 1, b: 'x\n  y' })
})

t.test('each item of a list has its own, in a member and at the root', async (t) => {
  const { events } = read('{"events":[{"data":{"n":1.0}}, {"data":{"n":2.0},"id":"]"} ,3]}') as {
    events: { data: unknown }[]
  }
  t.strictSame(
    events.slice(0, 2).map(({ data }) => sourceOf(data)),
    ['{"n":1.0}', '{"n":2.0}'],
  )
  const root = read('[{"data":{"n":1.50}}]') as { data: unknown }[]
  t.equal(sourceOf(root[0]?.data), '{"n":1.50}')
  const whole = read(' {"n":1.50} ')
  t.equal(sourceOf(whole), '{"n":1.50}')
})

t.test('whatever the JSON, the source reads as the value', async (t) => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(2), (object, space) => {
      const data: unknown = JSON.parse(JSON.stringify(object))
      const text = JSON.stringify({ before: data, events: [{ data }, { data }], data }, null, space)
      let value: { data: unknown; events: { data: unknown }[] }
      try {
        value = read(text) as typeof value
      } catch {
        return
      }
      for (const each of [value.data, ...value.events.map((event) => event.data)]) {
        t.same(JSON.parse(sourceOf(each) ?? 'null'), data)
      }
    }),
    { numRuns: 200 },
  )
})

t.test('large and hostile text is gone through once', async (t) => {
  const written = `{"a":"${' '.repeat(2_000_000)}","b":[${'[],'.repeat(100_000)}[]]}`
  const { data } = read(`{"data":${written}}`) as { data: unknown }
  t.equal(sourceOf(data), written)
})
