import t from 'tap'
import { parseJson } from '#lib/json/index.ts'
import { headerValues, secretHeaderValues, valueWithoutEchoes, withoutEchoes } from '#lib/secrets/echo.ts'

t.test('credentials are told from what else headers say', (t) => {
  const uuid = '0190b6c0-1f2a-7000-8000-000000000001'
  const headers = {
    authorization: 'Bearer s3cret-token',
    'x-api-key': 'k-12345',
    accept: 'application/vnd.api+json',
    'x-shop': uuid,
    'x-odd': 'abcdefghijklmnopqrst1',
    cookie: 'a=1',
  }
  t.strictSame(secretHeaderValues(headers), [
    'Bearer s3cret-token',
    's3cret-token',
    'k-12345',
    'k-12345',
    'abcdefghijklmnopqrst1',
    'abcdefghijklmnopqrst1',
  ])
  t.ok(headerValues(headers).includes(uuid), 'where all are secret')
  t.end()
})

t.test('an echo is taken out however JSON writes it, and what is left is JSON', (t) => {
  const secret = 'pa"ss/w\\ord'
  for (const text of [
    JSON.stringify({ a: [secret] }),
    JSON.stringify({ a: [secret] }).replaceAll('/', '\\/'),
  ]) {
    t.equal(withoutEchoes(text, [secret]), '{"a":["[redacted]"]}')
  }
  t.equal(
    withoutEchoes('{"n":12345678,"s":"12345678","m":123456789}', ['12345678']),
    '{"n":0,"s":"0","m":123456789}',
  )
  t.equal(withoutEchoes('abcdefg abc', ['abc', 'abcdefg']), '[redacted] [redacted]')
  t.equal(withoutEchoes('abc', []), 'abc')
  const value = {
    abcdef: ['x abcdef', 123456, parseJson(Buffer.from('1234560'), { numbers: 'text' }), null, true],
  }
  t.strictSame(valueWithoutEchoes(value, ['abcdef', '123456', '1234560']), {
    '[redacted]': ['x [redacted]', '[redacted]', '[redacted]', null, true],
  })
  t.end()
})
