import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import t from 'tap'
import type { WebhookHeaders } from '#lib/secrets/signature.ts'
import { generateSecret, parseSecret, signWebhook, verifyWebhook } from '#lib/secrets/signature.ts'

const nowSeconds = Math.floor(Date.now() / 1000)
const options = { toleranceSeconds: 300, nowSeconds }
const body = '{"event":"product.created","data":{"name":"Crème brûlée 🍮"}}'

function headersFor(secrets: string[], content: string | Buffer = body): Record<string, string> {
  const message = { id: 'evt_1', timestampSeconds: nowSeconds, body: content }
  return {
    'webhook-id': message.id,
    'webhook-timestamp': String(nowSeconds),
    'webhook-signature': signWebhook(message, secrets.map(parseSecret)),
  }
}

t.test('the libraries that plugin authors use accept what is signed here', (t) => {
  const secret = generateSecret()
  const headers = headersFor([secret])
  t.same(new StandardWebhook(secret).verify(body, headers), JSON.parse(body))
  t.same(new SvixWebhook(secret).verify(body, headers), JSON.parse(body))
  t.throws(() => new StandardWebhook(generateSecret()).verify(body, headers))
  t.throws(() => new SvixWebhook(secret).verify(`${body} `, headers))
  t.end()
})

t.test('what those libraries sign is accepted here', (t) => {
  const secret = generateSecret()
  const date = new Date(nowSeconds * 1000)
  for (const library of [new StandardWebhook(secret), new SvixWebhook(secret)]) {
    const signature = library.sign('evt_2', date, body)
    t.equal(
      signature,
      signWebhook({ id: 'evt_2', timestampSeconds: nowSeconds, body }, [parseSecret(secret)]),
    )
    const headers = {
      'webhook-id': 'evt_2',
      'webhook-timestamp': String(nowSeconds),
      'webhook-signature': signature,
    }
    t.equal(verifyWebhook(headers, body, [parseSecret(secret)], options), 'valid')
  }
  t.end()
})

t.test('it is HMAC-SHA256 for every key length and body', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 24, maxLength: 64 }),
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.string({ unit: 'grapheme', minLength: 1 }),
      (bytes, text, id) => {
        const key = Buffer.from(bytes)
        const wanted = createHmac('sha256', key).update(`${id}.${nowSeconds}.${text}`).digest('base64')
        const message = { id, timestampSeconds: nowSeconds }
        t.equal(signWebhook({ ...message, body: text }, [key]), `v1,${wanted}`)
        t.equal(signWebhook({ ...message, body: Buffer.from(text) }, [key]), `v1,${wanted}`)
      },
    ),
  )
  t.end()
})

t.test('while secrets overlap, the holder of either one can verify', (t) => {
  const [older, newer] = [generateSecret(), generateSecret()]
  const headers = headersFor([older, newer])
  t.equal(headers['webhook-signature']?.split(' ').length, 2)
  for (const secret of [older, newer]) {
    t.doesNotThrow(() => new StandardWebhook(secret).verify(body, headers))
    t.equal(verifyWebhook(headers, body, [parseSecret(secret)], options), 'valid')
  }
  t.equal(verifyWebhook(headersFor([older]), body, [newer, older].map(parseSecret), options), 'valid')
  t.end()
})

t.test('a refusal says why', (t) => {
  const secret = generateSecret()
  const verify = (change: WebhookHeaders, content = body): string =>
    verifyWebhook({ ...headersFor([secret]), ...change }, content, [parseSecret(secret)], options)
  t.equal(verify({}), 'valid')
  t.equal(verify({}, body.replace('created', 'deleted')), 'no_match')
  t.equal(verify({ 'webhook-id': 'evt_9' }), 'no_match')
  t.equal(verify({ 'webhook-id': undefined }), 'missing_header')
  t.equal(verify({ 'webhook-signature': ['v1,a', 'v1,b'] }), 'missing_header')
  t.equal(verify({ 'webhook-signature': '' }), 'no_match')
  t.equal(verify({ 'webhook-signature': 'v1,' }), 'no_match')
  t.equal(
    verify({ 'webhook-signature': headersFor([secret])['webhook-signature']?.replace('v1', 'v2') }),
    'no_match',
  )
  t.equal(verify({ 'webhook-timestamp': 'yesterday' }), 'malformed_timestamp')
  t.equal(verify({ 'webhook-timestamp': `${nowSeconds}.5` }), 'malformed_timestamp')
  t.equal(verify({ 'webhook-timestamp': String(nowSeconds - 301) }), 'timestamp_too_old')
  t.equal(verify({ 'webhook-timestamp': String(nowSeconds + 301) }), 'timestamp_too_new')
  t.equal(verify({ 'webhook-timestamp': String(nowSeconds - 300) }), 'no_match')
  t.end()
})

t.test('a secret has 24 to 64 bytes of strict base64 behind its prefix', (t) => {
  const make = (bytes: number): string => `whsec_${Buffer.alloc(bytes, 1).toString('base64')}`
  t.equal(parseSecret(generateSecret()).length, 32)
  t.not(generateSecret(), generateSecret())
  t.equal(parseSecret(make(24)).length, 24)
  t.equal(parseSecret(make(64)).length, 64)
  const bad = [
    '',
    'whsec_',
    make(23),
    make(65),
    make(24).slice(6),
    `${make(24)}\n`,
    make(25).replace(/=+$/, ''),
  ]
  for (const text of bad) t.throws(() => parseSecret(text), TypeError, JSON.stringify(text))
  t.throws(() => signWebhook({ id: 'a', timestampSeconds: 1, body: '' }, [Buffer.alloc(65)]), RangeError)
  t.end()
})

t.test('secrets that come from elsewhere sign with their bytes, as any HMAC does', (t) => {
  const forms: [string, Buffer][] = [
    ['text:a shared secret ü', Buffer.from('a shared secret ü')],
    ['base64:AAECAwQFBgc=', Buffer.from([0, 1, 2, 3, 4, 5, 6, 7])],
    ['hex:00FFa0b1c2d3e4f5', Buffer.from('00ffa0b1c2d3e4f5', 'hex')],
    [`text:${'x'.repeat(256)}`, Buffer.from('x'.repeat(256))],
    [`hex:${'0f'.repeat(65)}`, Buffer.from('0f'.repeat(65), 'hex')],
  ]
  for (const [text, key] of forms) {
    const signed = signWebhook({ id: 'e1', timestampSeconds: 1_700_000_000, body: '{}' }, [parseSecret(text)])
    const expected = createHmac('sha256', key).update('e1.1700000000.{}').digest('base64')
    t.equal(signed, `v1,${expected}`, text.slice(0, 12))
  }
  const wrong = [
    'text:',
    'text:seven77',
    'text: a leading space',
    'text:with\na line break',
    `text:${'x'.repeat(257)}`,
    'base64:AAECAwQFBgc',
    'hex:00ffa0b1c2d3e4f',
    'hex:00ffa0b1c2d3e4fg',
    'utf8:a shared secret',
  ]
  for (const text of wrong) t.throws(() => parseSecret(text), TypeError, text.slice(0, 30))
  t.end()
})
