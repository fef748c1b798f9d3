import t from 'tap'
import { defineProblem, Problem, problemCatalogue } from '#lib/api/problem.ts'

const teapot = defineProblem('test_teapot', 418, 'I am a teapot', 'Ask a coffee maker.')

t.test('a problem becomes an RFC 9457 body', (t) => {
  const problem = teapot('Too small.', {
    errors: [{ pointer: '/size', detail: 'at least 1' }],
    extensions: { size: 0 },
    headers: { 'retry-after': '3' },
  })
  t.ok(problem instanceof Problem)
  t.strictSame(problem.toJSON('req-1'), {
    size: 0,
    type: '/docs/problems#test_teapot',
    title: 'I am a teapot',
    status: 418,
    detail: 'Too small.',
    code: 'test_teapot',
    errors: [{ pointer: '/size', detail: 'at least 1' }],
    request_id: 'req-1',
  })
  t.same(problem.headers, { 'retry-after': '3' })
  t.end()
})

t.test('without a detail the body says what to do', (t) => {
  const body = teapot().toJSON('req-1')
  t.equal(body.detail, 'Ask a coffee maker.')
  t.notOk('errors' in body)
  t.end()
})

t.test('a serialised problem has neither stack nor cause', (t) => {
  const body = JSON.stringify(teapot('x', { cause: new Error('select * from secrets') }))
  t.notMatch(body, /select|stack|problem\.test/)
  t.end()
})

t.test('extensions cannot replace the standard members', (t) => {
  const body = teapot('x', { extensions: { status: 200, code: 'ok', type: 'y', retry_at: 1 } }).toJSON('r')
  t.match(body, { status: 418, code: 'test_teapot', type: '/docs/problems#test_teapot', retry_at: 1 })
  t.end()
})

t.test('a code is defined once, in snake case, and the catalogue lists it', (t) => {
  t.throws(() => defineProblem('test_teapot', 400, 'x', 'y'), /defined twice/)
  t.throws(() => defineProblem('Test-Teapot', 400, 'x', 'y'), /snake_case/)
  defineProblem('test_afterwards', 400, 'x', 'y')
  const codes = problemCatalogue().map((definition) => definition.code)
  t.same(codes, ['test_afterwards', 'test_teapot'])
  t.end()
})
