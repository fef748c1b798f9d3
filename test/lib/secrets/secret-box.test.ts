import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { createSecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'

const CONTEXT = 'tenant:row:secret'

t.test('what was sealed opens in its own context, and never looks the same twice', (t) => {
  const secrets = createSecretBox(randomBytes(32))
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (plaintext, context) => {
      t.equal(secrets.open(secrets.seal(plaintext, context), context), plaintext)
    }),
  )
  t.notOk(secrets.seal('x', CONTEXT).equals(secrets.seal('x', CONTEXT)))
  t.notOk(secrets.seal('whsec_secret', CONTEXT).includes('whsec'))
  t.end()
})

t.test('a box does not open in another row', (t) => {
  const secrets = createSecretBox(randomBytes(32))
  const box = secrets.seal('x', 'tenant:row-1:secret')
  t.throws(() => secrets.open(box, 'tenant:row-2:secret'), SecretBoxError)
  t.throws(() => secrets.open(box, 'other:row-1:secret'), SecretBoxError)
  t.end()
})

t.test('a change of any single byte, or a cut, is found', (t) => {
  const secrets = createSecretBox(randomBytes(32))
  const box = secrets.seal('a secret', CONTEXT)
  for (let index = 0; index < box.length; index++) {
    const changed = Buffer.from(box)
    changed.writeUInt8(changed.readUInt8(index) ^ 1, index)
    t.throws(() => secrets.open(changed, CONTEXT), SecretBoxError, `byte ${index}`)
    t.throws(() => secrets.open(box.subarray(0, index), CONTEXT), SecretBoxError, `cut at ${index}`)
  }
  t.end()
})

t.test('after the master key changed, older boxes open and ask to be sealed again', (t) => {
  const [first, second] = [randomBytes(32), randomBytes(32)]
  const old = createSecretBox(first).seal('x', CONTEXT)
  const secrets = createSecretBox(second, [first])
  t.equal(secrets.open(old, CONTEXT), 'x')
  t.ok(secrets.needsReseal(old))
  const renewed = secrets.seal(secrets.open(old, CONTEXT), CONTEXT)
  t.notOk(secrets.needsReseal(renewed))
  t.throws(() => createSecretBox(second).open(old, CONTEXT), SecretBoxError)
  t.equal(createSecretBox(second).open(renewed, CONTEXT), 'x')
  t.end()
})

t.test('a master key has 32 bytes', (t) => {
  t.throws(() => createSecretBox(randomBytes(31)), RangeError)
  t.throws(() => createSecretBox(randomBytes(32), [randomBytes(16)]), RangeError)
  const key = randomBytes(32)
  t.doesNotThrow(() => createSecretBox(key, [key]))
  t.end()
})

t.test('a signature is known again in its context, also after the master key was rotated', (t) => {
  const [old, current] = [randomBytes(32), randomBytes(32)]
  const before = createSecretBox(old)
  const signature = before.sign('event 1', CONTEXT)
  t.ok(before.isSigned('event 1', CONTEXT, signature))
  t.ok(createSecretBox(current, [old]).isSigned('event 1', CONTEXT, signature))
  t.notOk(createSecretBox(current).isSigned('event 1', CONTEXT, signature))
  for (const [text, context, given] of [
    ['event 2', CONTEXT, signature],
    ['event 1', 'tenant:other:secret', signature],
    ['event 1', CONTEXT, signature.slice(1)],
    ['event 1', CONTEXT, ''],
  ] as const) {
    t.notOk(before.isSigned(text, context, given))
  }
  t.end()
})
