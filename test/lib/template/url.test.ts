import fc from 'fast-check'
import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import { compileTemplate, renderUrl } from '#lib/template/index.ts'

/** Of CPU time, generous for slow machines; work that is not linear takes minutes. */
const MAX_MS = 5000
const now = new Date('2026-06-15T12:00:00Z')

/** The URL, or its fault as an Error. */
function render(url: string, trigger: unknown, maxBytes?: number): string | Error {
  const compiled = compileTemplate(url)
  if ('problems' in compiled) throw new Error(compiled.problems[0]?.message)
  const rendered = renderUrl(
    compiled.template,
    { trigger },
    { now, ...(maxBytes !== undefined && { maxBytes }) },
  )
  return 'error' in rendered ? new Error(rendered.error.message) : rendered.url
}

t.test('a value is a segment of the path, or a part of the query', (t) => {
  const base = 'https://example.com/orders/'
  t.equal(render(`${base}{{trigger.id}}`, { id: 'a b/ç?x=1#y' }), `${base}a%20b%2F%C3%A7%3Fx%3D1%23y`)
  t.equal(render(`${base}{{trigger.id}}/lines`, { id: 42 }), `${base}42/lines`)
  t.equal(render(`${base}{{trigger.id}}-{{trigger.id}}.json`, { id: '1' }), `${base}1-1.json`)
  t.equal(render(`${base}?q={{trigger.q}}&n=1`, { q: 'a&admin=1+2' }), `${base}?q=a%26admin%3D1%2B2&n=1`)
  t.equal(render(`${base}?{{trigger.q}}`, { q: '..' }), `${base}?..`, 'a query leads nowhere')
  t.equal(render(`${base}?q={{trigger.q}}`, { q: '' }), `${base}?q=`)
  t.equal(render(`${base}#{{trigger.q}}`, { q: 'a#b' }), `${base}#a%23b`)
  t.equal(render(`${base}x{{trigger.q}}`, { q: '' }), `${base}x`)
  t.equal(render(`${base}{{trigger.id}}`, { id: '\ud800' }), `${base}%EF%BF%BD`)
  t.equal(render(`${base}plain`, {}), `${base}plain`)
  t.equal(render(`${base}{{trigger.id}}`, { id: '%2e%2e' }), `${base}%252e%252e`)
  t.end()
})

t.test('what was encoded is not encoded again', (t) => {
  t.equal(
    render('https://example.com/{{trigger.id | url_encode}}?q={{trigger.id | upcase | url_encode}}', {
      id: 'a/b',
    }),
    'https://example.com/a%2Fb?q=A%2FB',
  )
  t.end()
})

t.test('no value leads to another path', (t) => {
  const up = ['..', '.', '../../admin', '..\\admin', 'a/../../admin', '/..', './', '..%2fadmin'.slice(0, 2)]
  for (const id of up) {
    t.match(render('https://example.com/orders/{{trigger.id}}', { id }), /dot or two/, id)
    t.match(render('https://example.com/orders/{{trigger.id | url_encode}}', { id }), /dot or two/, id)
    t.match(render('https://example.com/orders/{{trigger.id}}/lines?a=1', { id }), /dot or two/, id)
  }
  t.match(render('https://example.com/orders/.{{trigger.id}}', { id: '.' }), /dot or two/, 'put together')
  t.match(render('https://example.com/orders/%2e{{trigger.id}}', { id: '.' }), /dot or two/)
  t.match(render('https://example.com/orders/{{trigger.id}}', { id: '' }), /is empty/)
  t.match(render('https://example.com/orders/{{trigger.id}}/lines', { id: '' }), /is empty/)
  t.equal(
    render('https://example.com/orders/{{trigger.id}}', { id: '...' }),
    'https://example.com/orders/...',
  )
  t.equal(
    render('https://example.com/v1/../{{trigger.id}}', { id: '1' }),
    'https://example.com/v1/../1',
    'the author may',
  )
  t.end()
})

t.test('raw_url lets a value stand as it is, if it is the last filter', (t) => {
  t.equal(
    render('https://example.com/{{trigger.path | raw_url}}', { path: 'a/b?c=d' }),
    'https://example.com/a/b?c=d',
  )
  t.equal(render('https://example.com/{{trigger.path | raw_url}}', { path: '' }), 'https://example.com/')
  t.equal(
    render('https://example.com/{{trigger.path | raw_url | trim}}', { path: 'a/b' }),
    'https://example.com/a%2Fb',
  )
  t.end()
})

t.test('many values in many segments take linear time, and the last one is looked at, too', (t) => {
  const url = 'https://example.com{% for each in trigger.list %}/{{ each }}{% endfor %}/{{ trigger.last }}'
  const list = Array.from({ length: 500_000 }, () => 1)
  const spent = cpuTimer()
  const rendered = render(url, { list, last: 'x' }, 4e6)
  t.match(render(url, { list, last: '..' }, 4e6), /dot or two/)
  t.match(render(url, { list, last: '' }, 4e6), /is empty/)
  const took = spent()
  t.equal(rendered, `https://example.com${'/1'.repeat(list.length)}/x`)
  t.ok(took < MAX_MS, `${Math.round(took)} ms`)
  t.end()
})

t.test('whatever the value is, only its own segment differs', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (id) => {
      const url = render('https://example.com/orders/{{trigger.id}}/lines?q={{trigger.id}}&end=1', { id })
      if (typeof url !== 'string') return
      const { pathname, searchParams, origin, hash } = new URL(url)
      t.equal(origin, 'https://example.com')
      t.match(pathname, /^\/orders\/[^/]+\/lines$/)
      t.strictSame(
        [...searchParams],
        [
          ['q', id.toWellFormed()],
          ['end', '1'],
        ],
      )
      t.equal(hash, '')
    }),
    { numRuns: 300 },
  )
  t.end()
})
