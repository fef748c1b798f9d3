import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { startApp } from '#test/support/app.ts'
import {
  attemptsOf,
  deliverDue,
  eventually,
  onlyDelivery,
  registerPlugin,
  sendEvent,
} from '#test/support/deliveries.ts'
import { type HostileKind, startHostileReceiver } from '#test/support/hostile-receiver.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

const TIMEOUT_MS = 1_000
/** A deadline may be noticed 50 ms late; the rest is for a busy machine. */
const TOLERANCE_MS = 2_000

/** Error class of the attempt, and what of an answer there was. */
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

t.test('every hostile receiver ends in time, with its class in the log, and harms no other', async (t) => {
  const tenant = service.tenant()
  const good = await startReceiver(t)
  const goodPlugin = await registerPlugin(tenant, good.url)
  const plugins = new Map<HostileKind, string>()
  for (const kind of Object.keys(EXPECTED) as HostileKind[]) {
    const receiver = await startHostileReceiver(kind)
    t.teardown(() => receiver.close())
    const { id } = await registerPlugin(tenant, receiver.url, { timeout_ms: TIMEOUT_MS })
    plugins.set(kind, id)
  }
  await sendEvent(tenant, 'order.created', { note: 'z'.repeat(300_000) })
  const startedAt = performance.now()
  const drained = deliverDue(service, tenant)
  await good.waitFor(1)
  t.ok(performance.now() - startedAt < TIMEOUT_MS, 'the good one does not wait for the others')
  t.match(await drained, { processed: plugins.size + 1 })
  t.ok(performance.now() - startedAt < TIMEOUT_MS + TOLERANCE_MS, 'all of it within one deadline')
  t.match(await onlyDelivery(db, goodPlugin.id), { status: 'sent' })
  for (const [kind, id] of plugins) {
    const [errorClass = null, responseStatus = null] = EXPECTED[kind] ?? []
    const attempts = await attemptsOf(db, id)
    t.equal(attempts.length, 1, kind)
    t.match(attempts[0], { error_class: errorClass, response_status: responseStatus }, kind)
    t.equal(attempts[0]?.error_detail === null, errorClass === null, `${kind} has a detail`)
    t.ok((attempts[0]?.duration_ms ?? Infinity) < TIMEOUT_MS + TOLERANCE_MS, kind)
    t.ok(Buffer.byteLength(attempts[0]?.response_body ?? '') <= 16_384, kind)
    const succeeded = errorClass === null || errorClass === 'response_too_large'
    t.equal((await onlyDelivery(db, id)).status, succeeded ? 'sent' : 'retry', kind)
  }
})

t.test(
  'a plugin that nobody listens for, does not resolve or has become internal fails by its class',
  async (t) => {
    const tenant = service.tenant()
    const gone = await startReceiver(t)
    await gone.close()
    const refused = await registerPlugin(tenant, gone.url)
    const unknown = await registerPlugin(tenant, 'https://hooks.does-not-exist.invalid/')
    const internal = await registerPlugin(tenant, gone.url)
    // Such an address is refused when it is saved: this one was saved before the rule was there.
    await db
      .updateTable('plugins')
      .set({ webhook_url: 'http://169.254.169.254/latest/meta-data' })
      .where('id', '=', internal.id)
      .execute()
    await sendEvent(tenant)
    await deliverDue(service, tenant)
    t.match(await attemptsOf(db, refused.id), [{ error_class: 'connect_refused' }])
    t.match(await attemptsOf(db, unknown.id), [{ error_class: 'dns_error' }])
    t.match(await attemptsOf(db, internal.id), [{ error_class: 'blocked' }])
  },
)

t.test('hostile answers leave no memory behind', async (t) => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const tenant = service.tenant()
  const kinds: HostileKind[] = [
    'hang',
    'huge_body',
    'huge_chunked_body',
    'endless_headers',
    'gzip_bomb',
    'reset',
  ]
  const receivers = await Promise.all(kinds.map((kind) => startHostileReceiver(kind)))
  for (const receiver of receivers) {
    t.teardown(() => receiver.close())
    // Not so many failures in a row that the breaker keeps the receiver from being called.
    for (let index = 0; index < 5; index++) {
      await registerPlugin(tenant, receiver.url, { timeout_ms: TIMEOUT_MS })
    }
  }
  const memoryAfter = async (events: number): Promise<number> => {
    for (let left = events; left > 0; left--) await sendEvent(tenant)
    await deliverDue(service, tenant)
    await eventually('connections are closed', () => receivers.every((receiver) => receiver.open <= 5))
    collectGarbage()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const before = await memoryAfter(1)
  const after = await memoryAfter(3)
  t.ok(after - before < 16 * 1024 * 1024, `grew by ${after - before} bytes`)
})
