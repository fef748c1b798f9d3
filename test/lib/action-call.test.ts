import t from 'tap'
import { type ActionResponse, readActionResponse } from '#lib/action-call.ts'

const ANSWER: ActionResponse = {
  ok: true,
  status: 200,
  body: '',
  truncated: false,
  errorClass: null,
  errorDetail: null,
  bytesSent: true,
  retryAfterMs: null,
}

function read(fields: Partial<ActionResponse>) {
  return readActionResponse({ ...ANSWER, ...fields })
}

t.test('2xx with JSON or nothing is a success', (t) => {
  t.strictSame(read({ body: '{"a":[1]}' }), { ok: true, status: 200, data: { a: [1] } })
  for (const body of ['', ' \n', 'null']) t.strictSame(read({ body }), { ok: true, status: 200, data: null })
  t.strictSame(read({ status: 202, body: '"later"' }), { ok: true, status: 202, data: 'later' })
  t.end()
})

t.test('an answer that cannot be kept as it is, is a failure that quotes nothing of it', (t) => {
  const bodies = ['<html>secret</html>', 'secret', '{"secret":', '{"a":"\\u0000"}', '{"a":1,"a":2}']
  for (const body of bodies) {
    const result = read({ body })
    t.match(
      result,
      { ok: false, status: 200, code: 'invalid_response', transient: false, bytesSent: true },
      body,
    )
    t.notMatch(result, { message: /secret/ })
  }
  t.match(read({ body: '"cut', truncated: true }), { code: 'response_too_large', transient: false })
  t.end()
})

t.test('what another try may help is transient', (t) => {
  const http = (status: number) => ({
    ok: false,
    status,
    errorClass: status < 400 ? 'redirect' : status < 500 ? 'http_4xx' : 'http_5xx',
  })
  for (const status of [408, 425, 429, 500, 502, 503])
    t.match(read(http(status)), { transient: true }, `${status}`)
  for (const status of [301, 400, 401, 404, 409, 410, 422]) {
    t.match(read(http(status)), { transient: false }, `${status}`)
  }
  for (const errorClass of [
    'timeout',
    'reset',
    'connect_refused',
    'connect_timeout',
    'dns_error',
    'tls_error',
  ]) {
    t.match(read({ ok: false, status: null, errorClass }), { code: errorClass, transient: true })
    t.match(read({ ok: false, errorClass }), { transient: true }, `${errorClass} in the middle of a 200`)
  }
  t.match(read({ ok: false, status: null, errorClass: 'blocked', bytesSent: false }), {
    transient: false,
    bytesSent: false,
  })
  t.end()
})

t.test("the other side's sentence is the message, bounded, in the shapes that are common", (t) => {
  const messageOf = (body: unknown, clean?: (text: string) => string) => {
    const response = {
      ...ANSWER,
      ok: false,
      status: 422,
      errorClass: 'http_4xx',
      errorDetail: 'The answer was 422',
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }
    const result = readActionResponse(response, clean)
    return result.ok ? undefined : result.message
  }
  t.equal(messageOf({ error: { code: 'x', message: 'a' } }), 'a')
  t.equal(messageOf({ error: 'b' }), 'b')
  t.equal(messageOf({ message: 'c' }), 'c')
  t.equal(messageOf({ title: 'Bad', detail: 'd', message: 'e' }), 'd')
  for (const body of ['<html>', '', '[]', 'null', '{"message":7}', '{"message":""}', '{"error":null}']) {
    t.equal(messageOf(body), 'The answer was 422', body)
  }
  t.equal(messageOf({ message: 'x'.repeat(9_999) })?.length, 500)
  t.equal(messageOf({ message: `${'x'.repeat(499)}🎩` })?.isWellFormed(), true, 'not cut through a character')
  t.equal(messageOf('{"message":"a\\u0000b\\ud800"}'), 'ab\ufffd', 'fit for the database')
  t.equal(
    messageOf({ message: `${'x'.repeat(495)}secret` }, (text) => text.replaceAll('secret', '*')),
    `${'x'.repeat(495)}*`,
    'cleaned before it is cut',
  )
  t.end()
})

t.test("the other side's code is told beside the class of the failure, if it is a name", (t) => {
  const codeOf = (body: unknown, status = 422, clean?: (text: string) => string) => {
    const response = { ...ANSWER, ok: false, status, errorClass: 'http_4xx', body: JSON.stringify(body) }
    const result = readActionResponse(response, clean)
    t.match(result, { code: 'http_4xx', transient: status === 429 })
    return result.ok ? undefined : result.reportedCode
  }
  t.equal(codeOf({ error: { code: 'sku_taken', message: 'a' }, code: 'outer' }), 'sku_taken')
  t.equal(codeOf({ type: 'about:blank', code: 'Bad.Price-1', detail: 'd' }), 'Bad.Price-1')
  t.equal(codeOf({ code: 'slow_down' }, 429), 'slow_down')
  t.equal(codeOf({ error: { code: 21211 } }), '21211')
  const none = [
    '',
    'two words',
    'x'.repeat(65),
    'a\nb',
    '\u0000',
    'é',
    -1,
    1.5,
    422,
    '422',
    true,
    null,
    {},
    ['a'],
  ]
  for (const code of none) t.equal(codeOf({ code, error: { code } }), null, JSON.stringify(code))
  for (const body of [{ error: 'sku_taken' }, [], 'text', null, 7]) t.equal(codeOf(body), null)
  t.equal(
    codeOf({ code: 'secret' }, 422, (text) => text.replaceAll('secret', '*')),
    null,
    'nothing that has to be cleaned',
  )
  t.end()
})

t.test('numbers of an answer keep their text', (t) => {
  for (const body of ['1e999', '[[-1e400]]', '{"a":{"b":[1,1e309]}}', '[1.10,-0,1E2,12345678901234567890]']) {
    const result = readActionResponse({ ...ANSWER, body })
    t.equal(result.ok && JSON.stringify(result.data), body)
  }
  t.end()
})
