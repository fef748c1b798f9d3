import t from 'tap'
import { createEgress, type EgressResponse, parseEgressAllow } from '#infra/egress/index.ts'
import { heldBytes, slopeOf } from '#test/support/heap.ts'
import { startHostileReceiver } from '#test/support/hostile-receiver.ts'
import { eventually } from '#test/support/deliveries.ts'

const KINDS = ['hang', 'drip_body', 'huge_body', 'endless_headers', 'reset', 'early_hints_flood'] as const
const REQUESTS_EACH = 10
/** The first rounds fill caches and pools. */
const WARM_UP_ROUNDS = 3
const ROUNDS = 10
/** 8 KB for each request: half of the most that is read of an answer. */
const MAX_SLOPE_BYTES = KINDS.length * REQUESTS_EACH * 8_192

// In a file, and so a process, of its own: leftovers of other tests would be measured, too.
t.test('hundreds of hostile exchanges leave no socket, no timer and no memory behind', async (t) => {
  const receivers = await Promise.all(KINDS.map((kind) => startHostileReceiver(kind)))
  const egress = createEgress({ allow: parseEgressAllow('127.0.0.0/8'), dnsServers: [], httpsOnly: false })
  const exchange = (url: string): Promise<EgressResponse> =>
    egress.request({
      method: 'POST',
      url,
      headers: { 'content-type': 'application/json' },
      body: '{"event":"product.created"}',
      timeoutMs: 250,
    })
  const round = async (): Promise<number> => {
    await Promise.all(
      receivers.flatMap(({ url }) => Array.from({ length: REQUESTS_EACH }, () => exchange(url))),
    )
    await eventually('connections are closed', () => receivers.every((receiver) => receiver.open === 0))
    return heldBytes()
  }
  for (let left = WARM_UP_ROUNDS; left > 0; left--) await round()
  const readings: number[] = []
  for (let left = ROUNDS; left > 0; left--) readings.push(await round())
  const slope = slopeOf(readings)
  t.ok(slope < MAX_SLOPE_BYTES, `${Math.round(slope)} bytes a round: ${readings.join(', ')}`)
  t.comment(`${Math.round(slope)} bytes a round`)
  await egress.close()
  await Promise.all(receivers.map((receiver) => receiver.close()))
  await eventually('no socket is left', () => !process.getActiveResourcesInfo().includes('TCPSocketWrap'))
})
