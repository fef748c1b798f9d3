import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import { parseJson } from '#lib/json/index.ts'
import {
  headerValues,
  secretHeaderValues,
  valueWithoutEchoes,
  withoutCutEcho,
  withoutEchoes,
} from '#lib/secrets/echo.ts'

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
  for (const text of ['bad key 12345678.', '12345678. Bad', '12345678, 12345678'])
    t.notMatch(withoutEchoes(text, ['12345678']), '12345678')
  t.equal(
    withoutEchoes('["\\u00312345678","\\u0031234567\\u0038","\\u00e912345678\\n"]', ['12345678']),
    '["0","0","\\u00e90\\n"]',
    'digits by their numbers',
  )
  const longer = '["\\u003912345678","\\u003112345678"]'
  t.equal(withoutEchoes(longer, ['12345678']), longer, 'which are those of another number')
  for (const number of ['12345678.5', '0.12345678', '912345678'])
    t.equal(withoutEchoes(number, ['12345678']), number)
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

t.test('an echo is taken out though characters of it are written by their numbers', (t) => {
  const secret = 'a+b/c==<é"\\n'
  const hex = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  const written = {
    gson: 'a+b/c\\u003d\\u003d\\u003cé\\"\\\\n',
    go: 'a+b/c==\\u003cé\\"\\\\n',
    'System.Text.Json': 'a\\u002Bb/c==\\u003C\\u00E9\\u0022\\\\n',
    python: 'a+b/c==<\\u00e9\\"\\\\n',
    php: 'a+b\\/c==<\\u00e9\\"\\\\n',
    everything: Array.from(secret, hex).join(''),
    'in capitals': Array.from(secret, (one) => hex(one).toUpperCase().replace('U', 'u')).join(''),
  }
  for (const [by, text] of Object.entries(written)) {
    const body = `{"before":"\\\\","a":"x${text}y","b":["${text}"],"after":"\\u00e9\\n"}`
    t.match(JSON.parse(body), { b: [secret] }, by)
    t.equal(
      withoutEchoes(body, ['other', secret, '']),
      '{"before":"\\\\","a":"x[redacted]y","b":["[redacted]"],"after":"\\u00e9\\n"}',
      by,
    )
  }
  t.equal(withoutEchoes('C:\\users\\ana', ['C:\\users\\ana']), '[redacted]', 'in what is no JSON')
  t.end()
})

t.test('no text makes the search long', (t) => {
  const [large, half] = ['a'.repeat(262_144), 'a'.repeat(8_192)]
  const spent = cpuTimer()
  for (const search of [withoutEchoes, withoutCutEcho]) search(large, [`${half}b${half}`])
  withoutCutEcho('\\'.repeat(262_144), ['the-secret'])
  const noCharacters = `${'\ufffd'.repeat(87_000)}${'a'.repeat(8_192)}`
  t.equal(withoutCutEcho(noCharacters, ['the-secret']), noCharacters)
  t.ok(spent() < 2_000)
  t.equal(
    withoutEchoes(`${large}\\u003dthe-secret`, ['=the-secret']).length,
    large.length + '[redacted]'.length,
    'nor is it too long',
  )
  const secret = `${'\\/'.repeat(100)}x`
  const text = '\\\\/'.repeat(2_000)
  t.equal(withoutEchoes(text, [secret]), text)
  t.equal(withoutCutEcho(text, [secret]).length, text.length - 300, 'a beginning of 100 pairs')
  t.end()
})

t.test('a beginning of a secret is taken off the end of a text that was cut', (t) => {
  const secret = 'key=="1/abc'
  const cases: Record<string, string> = {
    'all of key=="1/abc': 'all of [redacted]',
    'some key=="1/ab': 'some ',
    'some key': 'some ',
    'some k': 'some ',
    monkeys: 'monkeys',
    '{"a":"x key==\\"1\\/ab': '{"a":"x ',
    '{"a":"x key=\\u003d\\u0022': '{"a":"x ',
    '{"a":"x key=\\u00': '{"a":"x ',
    '{"a":"x key==\\': '{"a":"x ',
    '{"a":"x \\u00': '{"a":"x \\u00',
    '{"a":"kkey': '{"a":"k',
    'half a letter \ufffd': 'half a letter \ufffd',
    'half a letter, key\ufffd': 'half a letter, ',
    [`${'\\"'.repeat(50)}key=\\u003d`]: '\\"'.repeat(50),
    [`${'\\\\'.repeat(50)}key=\\u003d`]: '\\\\'.repeat(50),
    [`${'a\\u003d'.repeat(50)}key=\\u003d`]: 'a\\u003d'.repeat(50),
  }
  for (const [text, left] of Object.entries(cases))
    t.equal(withoutCutEcho(text, ['other', secret]), left, text)
  t.equal(withoutCutEcho('x aabaa', ['aabaab']), 'x ', 'what repeats itself')
  t.equal(withoutCutEcho('x aabaabaa', ['aabaaabaab']), 'x aab')
  t.equal(withoutCutEcho('no secrets k', []), 'no secrets k')
  t.end()
})
