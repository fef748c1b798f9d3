import fc from 'fast-check'
import t from 'tap'
import { parseJson } from '#lib/json/index.ts'
import { parsePath, readPath } from '#lib/json/path.ts'

function read(root: unknown, text: string): unknown {
  return readPath(root, parsePath(text) ?? [])
}

t.test('a path is names with dots and positions in brackets', (t) => {
  t.same(parsePath('a'), ['a'])
  t.same(parsePath('a.b[0].c'), ['a', 'b', 0, 'c'])
  t.same(parsePath('a[0][12]'), ['a', 0, 12])
  t.same(parsePath('first-name.Größe.@id'), ['first-name', 'Größe', '@id'])
  t.same(parsePath('items.0.sku'), ['items', '0', 'sku'])
  const bad = [
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    'a[',
    'a[]',
    'a[x]',
    'a[-1]',
    'a[0]b',
    '[0]',
    'a b',
    'a|b',
    '{{a}}',
    'a."b"',
  ]
  for (const text of bad) t.equal(parsePath(text), null, text)
  t.end()
})

t.test('a path is bounded', (t) => {
  t.ok(parsePath('x'.repeat(256)))
  t.equal(parsePath('x'.repeat(257)), null)
  t.equal(parsePath('x'.repeat(1e7)), null)
  t.ok(parsePath(Array(32).fill('a').join('.')))
  t.equal(parsePath(Array(33).fill('a').join('.')), null)
  t.end()
})

t.test('it reads what is there and undefined for what is not', (t) => {
  const root = { a: { b: [{ c: 1 }, [2]], n: null } }
  t.equal(read(root, 'a.b[0].c'), 1)
  t.equal(read(root, 'a.b.0.c'), 1)
  t.equal(read(root, 'a.b[1][0]'), 2)
  t.equal(read(root, 'a.n'), null)
  for (const path of ['x', 'a.x', 'a.b[2]', 'a.b.c', 'a.n.x', 'a.b[0].c.d'])
    t.equal(read(root, path), undefined, path)
  t.end()
})

t.test('prototypes, lengths and the insides of text and numbers are out of reach', (t) => {
  const root = { list: [1], text: 'abc', number: parseJson(Buffer.from('9007199254740993')), nested: {} }
  const paths = [
    'constructor',
    'toString',
    '__proto__',
    'nested.__proto__.polluted',
    'list.length',
    'list.map',
    'text.length',
    'text[0]',
    'number.rawJSON',
  ]
  for (const path of paths) t.equal(read(root, path), undefined, path)
  t.end()
})

t.test('any text is either a path or null, at once', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a.[\]0]{0,40}$/)), (text) => {
      const path = parsePath(text)
      if (path)
        t.equal(
          path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('').length > 1,
          true,
        )
      read({ a: [0] }, text)
    }),
  )
  t.end()
})
