import fc from 'fast-check'
import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import { parseJson } from '#lib/json/index.ts'
import { looksLikeKey, redact, redactText, secretValues } from '#lib/secrets/redact.ts'
import { generateSecret } from '#lib/secrets/signature.ts'

/** Of CPU time, generous for slow machines; work that is not linear takes minutes. */
const MAX_MS = 5000

t.test('values of secret-looking names are replaced, however they are written', (t) => {
  const names = [
    'password',
    'Password',
    'client_secret',
    'clientSecret',
    'access_token',
    'X-Api-Key',
    'apiKey',
    'Authorization',
    'proxy-authorization',
    'set-cookie',
    'MASTER_KEY',
    'credentials',
  ]
  for (const name of names) t.same(redact({ [name]: 's3cret' }), { [name]: '[redacted]' }, name)
  t.same(redact({ secret: { deep: 'x' }, tokens: ['x'], pwd: 12345 }), {
    secret: '[redacted]',
    tokens: '[redacted]',
    pwd: '[redacted]',
  })
  t.same(redact({ password: null, secret: '', has_token: true, token: undefined }), {
    password: null,
    secret: '',
    has_token: true,
    token: undefined,
  })
  t.end()
})

t.test('everything else is copied unchanged', (t) => {
  const value = {
    name: 'x',
    token_type: 'y',
    secretary: 'z',
    key: 1,
    at: new Date(0),
    big: parseJson(Buffer.from('9007199254740993')),
    list: [{ a: null }, true, 'Bearer of bad news', 'Basic subscription', 'https://example.com/a?b=c'],
  }
  const copied = redact(value) as typeof value
  t.same(JSON.stringify(copied), JSON.stringify(value))
  t.not(copied, value)
  t.not(copied.list, value.list)
  t.end()
})

t.test('a secret is found in the middle of text', (t) => {
  const secret = generateSecret()
  t.equal(redact(`failed with ${secret}!`), 'failed with [redacted]!')
  t.equal(redact('key bcs_0123456789abcdef rejected'), 'key [redacted] rejected')
  t.equal(redact('authorization: Bearer abcdefghij.klmnopqrst-u'), 'authorization: [redacted]')
  t.equal(redact('at postgres://me:pw@db:5432/x'), 'at postgres://[redacted]@db:5432/x')
  t.end()
})

t.test('no secret survives, wherever in a value it stands', (t) => {
  const secret = generateSecret()
  const names = fc.constantFrom('a', 'data', 'note')
  const value = fc.letrec((tie) => ({
    node: fc.oneof(
      { maxDepth: 4 },
      fc.constant(secret),
      fc.record({ password: fc.constant('hunter2-hunter2') }),
      fc.array(tie('node'), { maxLength: 3 }),
      fc.dictionary(names, tie('node'), { maxKeys: 3 }),
    ),
  })).node
  fc.assert(
    fc.property(value, (node) => {
      const text = JSON.stringify(redact(node))
      t.notOk(text.includes(secret) || text.includes('hunter2'))
    }),
  )
  t.end()
})

t.test('a signed token is found wherever a word begins, and only with all of its parts', (t) => {
  const part = 'hbGciOiJIUzI1NiJ9'
  const token = `eyJ${part}.${part}.${part}`
  for (const before of ['', 'is ', '"', 'a.b.', 'x-', 'eyJ-', 'é', `${part}-eyJ-`])
    t.ok(looksLikeKey(`${before}${token} now`), before)
  for (const text of [
    `x${token}`,
    `_${token}`,
    `eyJ${part}.${part}`,
    `eyJ.${part}.${part}`,
    `eyJ${part}.a.${part}`,
  ])
    t.notOk(looksLikeKey(text), text)
  t.end()
})

t.test('what stands under secret names is found, and taken out of other text', (t) => {
  const value = {
    name: 'Ann',
    password: 'hunter2',
    secrets: [{ first: 'alpha-one' }, 12_345_678],
    headers: { authorization: 'Bearer opaque-1' },
    pin_token: '1234',
    has_token: true,
  }
  const found = secretValues(value)
  t.same([...found].sort(), ['12345678', 'Bearer opaque-1', 'alpha-one', 'hunter2', 'opaque-1'])
  t.equal(
    redactText('Ann: hunter2, alpha-one 12345678, Bearer opaque-1; opaque-1 1234 true', found),
    'Ann: [redacted], [redacted] [redacted], [redacted]; [redacted] 1234 true',
  )
  t.equal(redactText('longer-hunter2', ['hunter2', 'longer-hunter2', '']), '[redacted]')
  const loop: Record<string, unknown> = { token: 'in-a-loop' }
  loop['self'] = loop
  t.same([...secretValues(loop)], ['in-a-loop'])
  t.end()
})

t.test('loops and great depth end', (t) => {
  const loop: Record<string, unknown> = { name: 'x' }
  loop['self'] = loop
  loop['list'] = [loop]
  t.same(redact(loop), { name: 'x', self: '[omitted]', list: ['[omitted]'] })
  const shared = { a: 1 }
  t.same(redact([shared, shared]), [shared, shared])
  let deep: unknown = 'x'
  for (let level = 0; level < 1e5; level++) deep = [deep]
  t.match(JSON.stringify(redact(deep)), '[omitted]')
  t.end()
})

t.test('large text takes linear time', (t) => {
  const spent = cpuTimer()
  for (const part of ['whsec_', 'a://', 'a@', 'Bearer ', 'a.b+c-', '//@', 'whsec_a '])
    redact(part.repeat(1e6 / part.length))
  for (const part of ['eyJ-', 'eyJ', 'eyJaaaaaaaaaa.', 'eyJaaaaaaaaaaaa-', 'sk-', 'SG.', 'AKIA', 'Bearer '])
    looksLikeKey(part.repeat(1e6 / part.length) + '!')
  const took = spent()
  t.ok(took < MAX_MS, `${Math.round(took)} ms`)
  t.end()
})
