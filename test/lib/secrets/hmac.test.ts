import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { hmacSha256, toBlock } from '#lib/secrets/hmac.ts'

t.test('is HMAC with SHA-256, whatever the key and the message', async (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'binary', maxLength: 200 }),
      (keyBytes, head, body) => {
        const key = Buffer.from(keyBytes)
        const expected = createHmac('sha256', key).update(head).update(body).digest('hex')
        const asText = hmacSha256(key, toBlock(head, body)).toString('hex')
        const asBytes = hmacSha256(key, toBlock(head, Buffer.from(body))).toString('hex')
        return asText === expected && asBytes === expected
      },
    ),
  )
  t.equal(
    hmacSha256(Buffer.from('Jefe'), toBlock('what do ya want ', 'for nothing?')).toString('hex'),
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    'RFC 4231, case 2',
  )
})

t.test('one layout serves several keys', async (t) => {
  const block = toBlock('head', 'body')
  const keys = [Buffer.alloc(24, 1), Buffer.alloc(64, 2)]
  const macOf = (key: Buffer) => createHmac('sha256', key).update('headbody').digest('hex')
  t.same(
    keys.map((key) => hmacSha256(key, block).toString('hex')),
    keys.map(macOf),
  )
})

t.test('refuses a key of more than a block', async (t) => {
  t.throws(() => hmacSha256(Buffer.alloc(65), toBlock('head')), RangeError)
})
