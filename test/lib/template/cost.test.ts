import t from 'tap'
import { applyFilter } from '#lib/template/filters/index.ts'
import { FILTERS } from '#lib/template/index.ts'

const LIST = Array.from({ length: 9000 }, () => ({ a: 'x' }))
const LONG_TEXT = 'a'.repeat(200_000)

/** Returns the cost that a filter is charged, and its result. */
function run(name: string, value: unknown, ...args: unknown[]): { cost: number; result: unknown } {
  const filter = FILTERS.get(name)
  if (!filter) throw new Error(`no filter ${name}`)
  let cost = 0
  const spend = (steps: number) => void (cost += steps)
  return { result: applyFilter(filter, value, args, { maxChars: 256 * 1024, spend, zone: 'UTC' }), cost }
}

t.test('texts that made searching quadratic are replaced and split in linear time', (t) => {
  const search = `${'a'.repeat(50)}b${'a'.repeat(49)}`
  t.equal(run('replace', LONG_TEXT, search, 'c').result, LONG_TEXT)
  t.equal(run('replace', `${LONG_TEXT}${search}x`, search, 'c').result, `${LONG_TEXT}cx`)
  t.same(run('split', LONG_TEXT, search).result, [LONG_TEXT])
  t.same(run('split', `${LONG_TEXT}${search}x`, search).result, [LONG_TEXT, 'x'])
  t.same(run('split', ',a,,b,', ',').result, ['', 'a', '', 'b', ''])
  t.equal(run('replace', 'aaaa', 'aa', '$&').result, '$&$&', 'a replacement is text')
  t.equal(run('escape', `<&">'&lt;`).result, '&lt;&amp;&quot;&gt;&#39;&amp;lt;')
  t.throws(() => run('replace', LONG_TEXT, 'a', 'aa'), /too large/)
  t.equal(run('replace', LONG_TEXT, 'aa', 'b').result, 'b'.repeat(100_000))
  t.end()
})

t.test('every filter is charged for what it does', (t) => {
  const members = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`m${n}`, n]))
  const time = '2026-06-15T12:00:00Z'
  const atLeast: [name: string, value: unknown, args: unknown[], cost: number][] = [
    ['size', members, [], 10_000],
    ['size', LONG_TEXT, [], 200_000],
    ['truncate', 'ab', [1, LONG_TEXT], 200_000],
    ['split', ','.repeat(9000), [','], 18_000],
    ['replace', 'a'.repeat(9000), ['a', 'b'], 90_000],
    ['join', Array(9000).fill('a'), [LONG_TEXT.slice(0, 10)], 9000 * 12],
    ['json', members, [], 100_000],
    ['escape', '&'.repeat(9000), [], 9000 * 6],
    ['url_encode', '&'.repeat(9000), [], 9000 * 4],
    ['round', '1.5', [], 500],
    ['plus', '9'.repeat(99), [1], 500],
    ['minus', '9'.repeat(99), [1], 500],
    ['times', '9'.repeat(99), ['9'.repeat(99)], 500],
    ['divided_by', '9'.repeat(99), [3], 500],
    ['money', 5, ['EUR'], 1000],
    ['date', time, ['%F'], 1000],
    ['date', time, ['%F', 'Asia/Kathmandu'], 40_000],
    ['in_zone', time, ['Pacific/Chatham'], 40_000],
    ['to_text', members, [], 100_000],
    ['strip_html', '<p>'.repeat(9000), [], 27_000],
    ['slice', LONG_TEXT, [0, 1], 200_000],
    ['reverse', LIST, [], 9000],
    ['concat', LIST, [LIST], 18_000],
    ['map', LIST, ['a.b'], 180_000],
    ['where', LIST, ['a', LONG_TEXT.slice(0, 100)], 9000 * 30],
    ['sum', LIST.map(() => 1), [], 900_000],
    ['sort', LIST.map((_, n) => String(n)), [], 9000 * 10],
    ['uniq', LIST, [], 9000 * 20],
    ['group_by', LIST, ['a'], 9000 * 20],
    ...['raw_url', 'upcase', 'downcase', 'capitalize', 'trim'].map(
      (name): [string, unknown, unknown[], number] => [name, LONG_TEXT, [], 400_000],
    ),
  ]
  for (const [name, value, args, cost] of atLeast) t.ok(run(name, value, ...args).cost >= cost, name)
  t.ok(run('date', time, '%F', 'Asia/Kathmandu').cost < 40_000, 'a zone that is at hand costs less')
  // The call itself is charged by the rendering, and these look at nothing more.
  const constant = ['default', 'first', 'last', 'add', 'raw']
  const known = new Set([...atLeast.map(([name]) => name), ...constant])
  t.same(
    [...FILTERS.keys()].filter((name) => !known.has(name)),
    [],
    'a new filter says what it costs',
  )
  t.end()
})
