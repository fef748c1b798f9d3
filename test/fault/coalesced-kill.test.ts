import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { deliveriesOf, eventually } from '#test/support/deliveries.ts'
import { startService, TEST_MASTER_KEY } from '#test/support/service-process.ts'

const WORKERS = 4
const KEYS = 20
const ROUNDS = 40
const PATIENCE_MS = 240_000

interface Ledger {
  readonly url: string
  /** Of each key the last number that was answered well, and those in the order of their end. */
  readonly succeeded: Map<string, number[]>
  total: number
}

/** Refuses every seventh request, and takes its time now and then. */
async function startLedger(): Promise<Ledger> {
  const ledger: Ledger = { url: '', succeeded: new Map(), total: 0 }
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('error', () => undefined)
    response.on('error', () => undefined)
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { data } = JSON.parse(Buffer.concat(chunks).toString()) as {
        data: { product_id: string; n: number }
      }
      const count = ++ledger.total
      if (count % 7 === 3) {
        response.writeHead(400).end()
        return
      }
      ledger.succeeded.set(data.product_id, [...(ledger.succeeded.get(data.product_id) ?? []), data.n])
      if (count % 5 === 0) setTimeout(() => response.writeHead(204).end(), 50)
      else response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
  return Object.assign(ledger, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

t.test(
  'four workers of which two are killed bring the newest of every key, and lose nothing silently',
  async (t) => {
    const api = await startApp(t, { env: { MASTER_KEY: TEST_MASTER_KEY } })
    const tenant = api.tenant()
    const ledger = await startLedger()
    const { id } = (
      await tenant.post('/api/plugins', {
        name: 'latest',
        webhook_url: ledger.url,
        events: [{ event: 'product.stock', coalesce: { key: 'product_id', window_seconds: 1 } }],
        max_in_flight: 8,
        retry_schedule: [1, 1, 1, 1, 1, 1, 1, 1],
      })
    ).json<{ id: string }>()
    const env = { ROLES: 'worker', LEASE_MS: '2000', POLL_MS: '300' }
    const workers = await Promise.all(
      Array.from({ length: WORKERS }, () => startService(t, { databaseUrl: api.databaseUrl, env })),
    )
    const alive = new Set(workers)
    const kill = async (): Promise<void> => {
      const victim = await eventually('somebody holds the lane', async () => {
        const lane = await api.db
          .selectFrom('delivery_lanes')
          .select('lease_owner')
          .where('plugin_id', '=', id)
          .executeTakeFirstOrThrow()
        const pid = Number(lane.lease_owner?.split(':')[1])
        return [...alive].find((worker) => worker.pid === pid)
      })
      alive.delete(victim)
      victim.kill('SIGKILL')
      await victim.exited
    }
    let kills = 0
    for (let round = 0; round < ROUNDS; round++) {
      const events = Array.from({ length: KEYS * 3 }, (_, index) => ({
        event: 'product.stock',
        data: { product_id: `p${index % KEYS}`, n: round * 3 + Math.floor(index / KEYS) },
      }))
      await eventually(
        'the batch is taken',
        async () => (await tenant.post('/api/events', { events })).statusCode === 202,
      )
      // In the midst of sending, twice.
      if (kills < 2 && ledger.total >= KEYS * (kills + 1)) {
        kills++
        await kill()
      } else {
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
    for (; kills < 2; kills++) await kill()
    const waiting = async () =>
      (await deliveriesOf(api.db, id)).filter(({ status }) => status === 'pending' || status === 'retry')
        .length
    await eventually('nothing waits', async () => (await waiting()) === 0, PATIENCE_MS)

    const newest = ROUNDS * 3 - 1
    t.equal(ledger.succeeded.size, KEYS)
    for (const [key, numbers] of ledger.succeeded)
      t.equal(numbers.at(-1), newest, `${key} ends with the newest`)
    const rows = await deliveriesOf(api.db, id)
    t.equal(rows.length, KEYS * 3 * ROUNDS)
    const byId = new Map(rows.map((row) => [row.id, row]))
    const replaced = rows.filter(({ reason }) => reason === 'superseded')
    t.ok(replaced.length > 0)
    t.strictSame(
      rows.filter(({ status, reason }) => status !== 'sent' && reason !== 'superseded'),
      [],
      'each was sent or replaced',
    )
    for (const {
      superseded_by: by,
      coalesce_key: key,
      ordering_place: place,
      event_id: eventId,
    } of replaced) {
      const other = byId.get(by ?? '')
      if (other?.coalesce_key !== key) t.fail('replaced by one of another key')
      const isNewer =
        BigInt(other?.ordering_place ?? 0) > BigInt(place ?? 0) ||
        (other?.ordering_place === place && other.event_id > eventId)
      if (!isNewer) t.fail('replaced by an older one')
    }
  },
)
