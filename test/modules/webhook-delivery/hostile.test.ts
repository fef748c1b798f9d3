import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { attemptsOf, deliverDue, onlyDelivery, registerPlugin, sendEvent } from '#test/support/deliveries.ts'
import { type HostileKind, startHostileReceiver } from '#test/support/hostile-receiver.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

/** Of those that are to run into it, and of all others: a busy machine may take seconds for an answer. */
const TIMEOUT_MS = 2_000
const PATIENT_TIMEOUT_MS = 30_000
/** A deadline of 2 s that is kept ends an attempt by then, also on a busy machine. */
const IN_TIME_MS = 10_000

/** Error class of the attempt, and the part of an answer that there was. */
const EXPECTED: Partial<Record<HostileKind, [errorClass: string | null, responseStatus: number | null]>> = {
  ok: [null, 200],
  hang: ['timeout', null],
  never_read: ['timeout', null],
  drip_headers: ['timeout', null],
  drip_body: ['timeout', 200],
  endless_headers: ['protocol_error', null],
  huge_body: ['response_too_large', 200],
  huge_chunked_body: ['response_too_large', 200],
  gzip_bomb: [null, 200],
  reset: ['reset', null],
  close: ['reset', null],
  reset_mid_body: ['reset', 200],
  close_mid_body: ['reset', 200],
  redirect_metadata: ['redirect', 302],
  redirect_loopback: ['redirect', 302],
  malformed: ['protocol_error', null],
  early_hints_flood: ['protocol_error', null],
  switching_protocols: ['protocol_error', null],
  tls_self_signed: ['tls_error', null],
  tls_wrong_host: ['tls_error', null],
  tls_expired: ['tls_error', null],
  tls_hang: ['connect_timeout', null],
}

function isEndedByTime(kind: HostileKind): boolean {
  return /timeout/.test(EXPECTED[kind]?.[0] ?? '')
}

t.test('every hostile receiver ends in time, with its class in the log, and harms no other', async (t) => {
  const tenant = service.tenant()
  const good = await startReceiver(t)
  const goodPlugin = await registerPlugin(tenant, good.url)
  const plugins = new Map<HostileKind, string>()
  for (const kind of Object.keys(EXPECTED) as HostileKind[]) {
    const receiver = await startHostileReceiver(kind)
    t.teardown(() => receiver.close())
    const { id } = await registerPlugin(tenant, receiver.url, {
      timeout_ms: isEndedByTime(kind) ? TIMEOUT_MS : PATIENT_TIMEOUT_MS,
    })
    plugins.set(kind, id)
  }
  await sendEvent(tenant, 'order.created', { note: 'z'.repeat(300_000) })
  t.match(await deliverDue(service, tenant), { processed: plugins.size + 1 })
  t.equal(good.received.length, 1)
  t.match(await onlyDelivery(db, goodPlugin.id), { status: 'sent' })
  for (const [kind, id] of plugins) {
    const [errorClass = null, responseStatus = null] = EXPECTED[kind] ?? []
    const attempts = await attemptsOf(db, id)
    t.equal(attempts.length, 1, kind)
    t.match(attempts[0], { error_class: errorClass, response_status: responseStatus }, kind)
    t.equal(attempts[0]?.error_detail === null, errorClass === null, `${kind} has a detail`)
    const { duration_ms: tookMs = Infinity } = attempts[0] ?? {}
    t.ok(tookMs < (isEndedByTime(kind) ? IN_TIME_MS : PATIENT_TIMEOUT_MS), `${kind} took ${tookMs} ms`)
    t.ok(Buffer.byteLength(attempts[0]?.response_body ?? '') <= 16_384, kind)
    const succeeded = errorClass === null || errorClass === 'response_too_large'
    t.equal((await onlyDelivery(db, id)).status, succeeded ? 'sent' : 'retry', kind)
  }
})

t.test('the good one does not wait for those that hang', async (t) => {
  const tenant = service.tenant()
  const hanging = await startHostileReceiver('hang')
  t.teardown(() => hanging.close())
  for (let count = 0; count < 10; count++) {
    await registerPlugin(tenant, hanging.url, { timeout_ms: PATIENT_TIMEOUT_MS })
  }
  const good = await startReceiver(t)
  await registerPlugin(tenant, good.url)
  await sendEvent(tenant)
  const drained = deliverDue(service, tenant)
  await good.waitFor(1)
  t.equal(hanging.open, hanging.connections, 'they still hang')
  await hanging.close()
  t.match(await drained, { processed: 11, sent: 1 })
})

t.test(
  'a plugin that nobody listens for, does not resolve or has become internal fails by its class',
  async (t) => {
    const tenant = service.tenant()
    const gone = await startReceiver(t)
    await gone.close()
    const refused = await registerPlugin(tenant, gone.url)
    const unknown = await registerPlugin(tenant, gone.url)
    const internal = await registerPlugin(tenant, gone.url)
    // Such addresses are refused when they are saved: these were saved before the rule was there.
    for (const [{ id }, url] of [
      [unknown, 'https://hooks.does-not-exist.invalid/'],
      [internal, 'http://169.254.169.254/latest/meta-data'],
    ] as const) {
      await db.updateTable('plugins').set({ webhook_url: url }).where('id', '=', id).execute()
    }
    await sendEvent(tenant)
    await deliverDue(service, tenant)
    t.match(await attemptsOf(db, refused.id), [{ error_class: 'connect_refused' }])
    t.match(await attemptsOf(db, unknown.id), [{ error_class: 'dns_error' }])
    t.match(await attemptsOf(db, internal.id), [{ error_class: 'blocked' }])
  },
)
