import t from 'tap'
import { manifest } from '#examples/email-plugin/capabilities.ts'
import { readConfig } from '#examples/email-plugin/config.ts'
import { startMailbox, UNKNOWN_DOMAIN } from './mailbox.ts'
import { sign, startPlugin } from './mailer-plugin.ts'

const NOWHERE = 'http://127.0.0.1:1'
const ACTION = '/actions/send-welcome-email'

function callFor(to: string, name?: string): object {
  return { action_type: 'send_welcome_email', tenant_id: 'tenant_1', payload: { to, ...(name && { name }) } }
}

t.test('what is not signed with the secret, or long ago, does nothing', async (t) => {
  const mailbox = await startMailbox(t)
  const { plugin, secret } = await startPlugin(t, { smtpUrl: mailbox.url, automationUrl: NOWHERE })
  const body = JSON.stringify(callFor('ana@example.com'))
  const signed = sign(secret, body)
  const strange = sign(`whsec_${Buffer.alloc(32, 1).toString('base64')}`, body)
  const old = sign(secret, body, new Date(Date.now() - 6 * 60_000))
  const cases: [string, Record<string, string>, string][] = [
    ['unsigned', { 'content-type': 'application/json' }, body],
    ['signed with another secret', strange, body],
    ['signed six minutes ago', old, body],
    ['altered', signed, body.replace('ana', 'eve')],
    ['not JSON', { ...signed, 'content-type': 'text/plain' }, body],
  ]
  for (const path of [ACTION, '/webhooks']) {
    for (const [how, headers, text] of cases) {
      const response = await fetch(plugin.url + path, {
        method: 'POST',
        headers: { ...headers, 'idempotency-key': 'k' },
        body: text,
      })
      t.equal(response.status, 401, `${path}: ${how}`)
    }
  }
  t.same(mailbox.mails, [])
})

t.test('an action sends one mail, however often and however close together it is asked', async (t) => {
  const mailbox = await startMailbox(t)
  const { post } = await startPlugin(t, { smtpUrl: mailbox.url, automationUrl: NOWHERE })
  const headers = { 'idempotency-key': 'flow_123:#1' }
  const ask = () => post(ACTION, callFor('ana@example.com', 'Ana & <Sons>'), headers)
  const answers = [...(await Promise.all([ask(), ask(), ask()])), await ask()]
  const bodies = await Promise.all(answers.map((answer) => answer.json()))
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(bodies.map((body) => JSON.stringify(body))).size, 1, 'one answer')
  t.equal(mailbox.mails.length, 1)
  const [mail] = mailbox.mails
  t.equal(mail?.subject, 'Welcome, Ana & <Sons>!')
  t.match(mail?.to, [{ address: 'ana@example.com', name: 'Ana & <Sons>' }])
  t.match(mail?.from, { address: 'hello@shop.example' })
  t.match(mail?.text, 'Welcome, Ana & <Sons>!')
  t.match(mail?.html, '<h1>Welcome, Ana &#38; &#60;Sons&#62;!</h1>')
  t.same((bodies[0] as { message_id: string }).message_id, mail?.messageId)

  await post(ACTION, { ...callFor('bo@example.com'), tenant_id: 'tenant_2' }, headers)
  t.equal(mailbox.mails.length, 2, "another tenant's key is another key")
})

t.test(
  'while the mail server is away the answer is 503, and the same call works when it is back',
  async (t) => {
    const gone = await startMailbox(t)
    await gone.close()
    const { post } = await startPlugin(t, { smtpUrl: gone.url, automationUrl: NOWHERE })
    const ask = () => post(ACTION, callFor('ana@example.com'), { 'idempotency-key': 'k' })
    const away = await ask()
    t.equal(away.status, 503)
    t.equal(away.headers.get('retry-after'), '1')
    const back = await startMailbox(t, gone.port)
    t.equal((await ask()).status, 200)
    t.equal(back.mails.length, 1)
  },
)

t.test('what the mail server refuses, and what has no address, is the action that is wrong', async (t) => {
  const mailbox = await startMailbox(t)
  const { post } = await startPlugin(t, { smtpUrl: mailbox.url, automationUrl: NOWHERE })
  const refused = await post(ACTION, callFor(`ana@${UNKNOWN_DOMAIN}`), { 'idempotency-key': 'a' })
  t.equal(refused.status, 422)
  t.match(await refused.json(), { error: /No such mailbox/ })
  const lame = await post(ACTION, callFor('nobody'), { 'idempotency-key': 'b' })
  t.equal(lame.status, 400)
  t.match(await lame.json(), { message: /payload\/to must match format/ })
  const injected = await post(ACTION, callFor('ana@example.com', 'Ana\r\nBcc: eve@example.com'), {
    'idempotency-key': 'c',
  })
  t.equal(injected.status, 200)
  t.equal(mailbox.mails[0]?.bcc, undefined, 'a name cannot become a header')
})

t.test('without a recipient it writes to the customer whom the flow is about', async (t) => {
  const mailbox = await startMailbox(t)
  const { post } = await startPlugin(t, { smtpUrl: mailbox.url, automationUrl: NOWHERE })
  const call = (data: unknown, key: string) =>
    post(
      ACTION,
      { tenant_id: 'tenant_1', payload: { template: 'welcome_template' }, context: { trigger: { data } } },
      { 'idempotency-key': key },
    )
  t.equal((await call({ email: 'ana@example.com' }, 'a')).status, 200)
  t.equal((await call({ order_id: 'ord_1', customer: { email: 'bo@example.com' } }, 'b')).status, 200)
  t.same(
    mailbox.mails.map(({ to }) => (to as { address: string }[])[0]?.address),
    ['ana@example.com', 'bo@example.com'],
  )
  for (const [key, data] of [
    ['c', { product_id: 'prd_1' }],
    ['d', null],
    ['e', { email: 'ana@example.com\r\nBcc: eve@example.com' }],
  ] as const) {
    const answer = await call(data, key)
    t.equal(answer.status, 422, key)
    t.match(await answer.json(), { error: /"to"/ })
  }
  t.equal(mailbox.mails.length, 2)
})

t.test('a delivery that comes twice is seen once', async (t) => {
  const { plugin, secret, log } = await startPlugin(t, { automationUrl: NOWHERE })
  const body = JSON.stringify({
    event: 'customer.created',
    tenant_id: 'tenant_1',
    timestamp: '2026-03-02T14:01:12Z',
    data: { customer_id: 'cus_1', email: 'ana@example.com' },
  })
  const headers = sign(secret, body)
  for (let time = 0; time < 2; time++) {
    const response = await fetch(`${plugin.url}/webhooks`, { method: 'POST', headers, body })
    t.equal(response.status, 204)
  }
  t.equal(log.filter(({ msg }) => msg === 'a new customer').length, 1)
  t.match(
    log.find(({ msg }) => msg === 'a new customer'),
    { customer: 'cus_1', email: 'ana@example.com' },
  )
})

t.test('it says what it can do', async (t) => {
  const { plugin } = await startPlugin(t, { automationUrl: NOWHERE })
  const response = await fetch(`${plugin.url}/api/capabilities`)
  t.same(await response.json(), manifest('email-marketing'))
})

t.test('a configuration that cannot work is refused with everything that is wrong', async (t) => {
  t.throws(
    () => readConfig({ WEBHOOK_SECRET: 'secret', SMTP_URL: 'mail.example', PORT: 'http' }),
    /WEBHOOK_SECRET: [^]*SMTP_URL: [^]*PORT: /,
  )
})
