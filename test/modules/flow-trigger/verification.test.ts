import { Buffer } from 'node:buffer'
import { createHmac } from 'node:crypto'
import t from 'tap'
import type { HookVerification } from '#lib/flow/types.ts'
import { verificationFault } from '#modules/flow-trigger/verification.ts'

const AT = 1_700_000_000
const BODY = '{"a":1}'
/** What Node's base64 makes nothing or a byte of. */
const BROKEN = ['whsec_', 'whsec_==', '=secret', '!S=long-secret-of-somebody', 'k=9f8e7d6c5b4a39281706']

function standard(key: string | Buffer): Record<string, string> {
  const signature = createHmac('sha256', key).update(`msg_1.${AT}.${BODY}`).digest('base64')
  return {
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(AT),
    'webhook-signature': `v1,${signature}`,
  }
}

function faultOf(verify: Omit<HookVerification, 'connection'>, secrets: string[], headers: object) {
  const sent = { headers: { ...headers }, query: {}, bytes: Buffer.from(BODY) }
  return verificationFault({ ...verify, connection: 'inbound' }, secrets, sent, AT)
}

t.test('a secret that is no base64 is no key of Standard Webhooks', async (t) => {
  for (const secret of [...BROKEN, '']) {
    const decoded = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
    const guesses = ['', decoded, ...Array.from({ length: 256 }, (_, byte) => Buffer.from([byte]))]
    for (const key of guesses) {
      const fault = faultOf({ scheme: 'standard_webhooks' }, [secret], standard(key))
      if (fault === null) t.fail(`${secret}: ${Buffer.from(key).toString('hex')}`)
    }
    const isText = secret !== '' && !secret.startsWith('whsec_')
    const fault = faultOf({ scheme: 'standard_webhooks' }, [secret], standard(secret))
    t.equal(fault === null, isText, `${secret}: the text itself`)
  }
  const key = Buffer.from('a key of 16 byte')
  for (const secret of [key.toString('base64'), key.toString('base64').replace(/=+$/, '')]) {
    for (const each of [secret, `whsec_${secret}`]) {
      t.equal(faultOf({ scheme: 'standard_webhooks' }, [each], standard(key)), null, each)
    }
  }
})

t.test('an empty secret lets nothing in, whatever the scheme', async (t) => {
  const hex = createHmac('sha256', '').update(BODY).digest('hex')
  const base64 = createHmac('sha256', '').update(BODY).digest('base64')
  const sha1 = createHmac('sha1', '').update(BODY).digest('hex')
  const stripe = createHmac('sha256', '').update(`${AT}.${BODY}`).digest('hex')
  const slack = createHmac('sha256', '').update(`v0:${AT}:${BODY}`).digest('hex')
  const hmac = {
    header: 'x-signature',
    algorithm: 'sha256',
    encoding: 'hex',
    prefix: '',
    signed: '{body}',
    timestamp_header: null,
    id_header: null,
  } as const
  const cases: [verify: Omit<HookVerification, 'connection'>, headers: Record<string, string>][] = [
    [{ scheme: 'standard_webhooks' }, standard('')],
    [{ scheme: 'shopify' }, { 'x-shopify-hmac-sha256': base64 }],
    [{ scheme: 'stripe' }, { 'stripe-signature': `t=${AT},v1=${stripe}` }],
    [{ scheme: 'github' }, { 'x-hub-signature-256': `sha256=${hex}` }],
    [{ scheme: 'slack' }, { 'x-slack-signature': `v0=${slack}`, 'x-slack-request-timestamp': String(AT) }],
    [{ scheme: 'woocommerce' }, { 'x-wc-webhook-signature': base64 }],
    [{ scheme: 'meta' }, { 'x-hub-signature-256': `sha256=${hex}` }],
    [{ scheme: 'websub' }, { 'x-hub-signature': `sha1=${sha1}` }],
    [{ scheme: 'hmac', hmac }, { 'x-signature': hex }],
    [{ scheme: 'cloudevents' }, { authorization: 'Basic eA==' }],
  ]
  for (const [verify, headers] of cases) {
    t.match(faultOf(verify, [''], headers), { detail: /does not match|must be Bearer/ }, verify.scheme)
  }
})
