import fc from 'fast-check'
import t from 'tap'
import { chooseMembers, memberAt, membersOf } from '#lib/json/choose.ts'

const TEXT =
  '{"order_id":"o_1","total":1.10,"10":-0,"9":1E2,"customer":{"email":"a@b.c","name":"A\\"n}a"},' +
  '"items":[{"sku":"s1","qty":1},{"qty":2},7,["x",{"sku":"s2"}]],"note":null}'

const include = (...paths: string[]): string =>
  chooseMembers(TEXT, membersOf(paths.map((path) => path.split('.'))), 'include')
const exclude = (...paths: string[]): string =>
  chooseMembers(TEXT, membersOf(paths.map((path) => path.split('.'))), 'exclude')

t.test('what stays is as it was written, in its order', async (t) => {
  t.equal(include('9', 'total', '10', 'note'), '{"total":1.10,"10":-0,"9":1E2,"note":null}')
  t.equal(include('customer.name'), '{"customer":{"name":"A\\"n}a"}}')
  t.equal(include('customer.name', 'customer'), include('customer'))
  t.equal(include('items.sku'), '{"items":[{"sku":"s1"},{},[{"sku":"s2"}]]}')
  t.equal(include('nothing', 'total.below'), '{}')
  t.equal(exclude('customer', 'items', '9', 'note'), '{"order_id":"o_1","total":1.10,"10":-0}')
  t.equal(
    exclude('items.qty', 'customer.email', 'order_id'),
    '{"total":1.10,"10":-0,"9":1E2,"customer":{"name":"A\\"n}a"},"items":[{"sku":"s1"},{},7,["x",{"sku":"s2"}]],"note":null}',
  )
  t.equal(exclude('nothing'), TEXT)
})

t.test('names are compared as they read, not as they are written', async (t) => {
  const members = membersOf([['é']])
  t.equal(chooseMembers('{ "\\u00e9" : 1 , "e":2 }', members, 'include'), '{"\\u00e9" : 1}')
  t.equal(
    chooseMembers('{"__proto__":1,"constructor":2}', membersOf([['constructor']]), 'exclude'),
    '{"__proto__":1}',
  )
})

t.test('a member is found where it stands', async (t) => {
  const text = '{"a":{"data":1},"b":"\\"data\\":","data":{"x":[1]},"c":2}'
  const place = memberAt(text, 'data')
  t.equal(place === null ? null : text.slice(...place), '{"x":[1]}')
  t.equal(memberAt('{}', 'data'), null)
})

/** The same, of values: objects keep or lose members, lists are gone through. */
function reference(value: unknown, path: readonly string[], isIncluding: boolean): unknown {
  if (Array.isArray(value)) {
    const items = isIncluding ? value.filter((item) => typeof item === 'object' && item !== null) : value
    return items.map((item: unknown) => reference(item, path, isIncluding))
  }
  if (typeof value !== 'object' || value === null) return value
  const [name = '', ...rest] = path
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, member]) => {
      if (key !== name) return isIncluding ? [] : [[key, member]]
      if (rest.length === 0) return isIncluding ? [[key, member]] : []
      if (isIncluding && (typeof member !== 'object' || member === null)) return []
      return [[key, reference(member, rest, isIncluding)]]
    }),
  )
}

t.test('any object is chosen from as its value is', async () => {
  const name = fc.constantFrom('a', 'b', 'c')
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.oneof(fc.string(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constant(null)),
      fc.dictionary(name, tie('tree'), { maxKeys: 3 }),
      fc.array(tie('tree'), { maxLength: 3 }),
    ),
  }))
  const path = fc.array(name, { minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(fc.dictionary(name, tree), path, fc.boolean(), (data, path, isIncluding) => {
      const text = JSON.stringify(data)
      const chosen = chooseMembers(text, membersOf([path]), isIncluding ? 'include' : 'exclude')
      const expected = reference(JSON.parse(text), path, isIncluding)
      return chosen === JSON.stringify(expected)
    }),
  )
})
