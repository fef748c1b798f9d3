import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { eventually, statusesOf } from '#test/support/deliveries.ts'
import { startService, TEST_MASTER_KEY } from '#test/support/service-process.ts'

const WORKERS = 4
const KEYS = 10
const EVENTS = 200
const BATCH = 50
const PATIENCE_MS = 240_000

interface Ledger {
  readonly url: string
  /** What has arrived and was answered well, of each key the numbers in the order of their first time. */
  readonly succeeded: Map<string, number[]>
  readonly faults: string[]
  total: number
}

/** Refuses every ninth number the first time. */
async function startLedger(): Promise<Ledger> {
  const succeeded = new Map<string, number[]>()
  const refused = new Set<string>()
  const faults: string[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('error', () => undefined)
    response.on('error', () => undefined)
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { data } = JSON.parse(Buffer.concat(chunks).toString()) as {
        data: { product_id: string; n: number }
      }
      const { product_id: key, n } = data
      const before = succeeded.get(key) ?? []
      ledger.total++
      const last = before.at(-1) ?? -1
      if (n % 9 === 4 && !refused.has(`${key} ${n}`)) {
        refused.add(`${key} ${n}`)
        response.writeHead(400).end()
        return
      }
      // What a killed worker had sent may come late and twice; what comes first must not come too early.
      if (n > last + 1) faults.push(`${key}: ${n} after ${last}`)
      if (!before.includes(n)) succeeded.set(key, [...before, n])
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const ledger: Ledger = { url, succeeded, faults, total: 0 }
  return ledger
}

t.test('four workers of which two are killed keep the order of every key, and lose nothing', async (t) => {
  const api = await startApp(t, { env: { MASTER_KEY: TEST_MASTER_KEY } })
  const tenant = api.tenant()
  const ledger = await startLedger()
  const { id } = (
    await tenant.post('/api/plugins', {
      name: 'ordered',
      webhook_url: ledger.url,
      events: ['product.*'],
      ordering: 'key',
      max_in_flight: 8,
      retry_schedule: [1, 1, 1],
      timeout_ms: 30_000,
    })
  ).json<{ id: string }>()
  const env = { ROLES: 'worker', LEASE_MS: '2000', POLL_MS: '300' }
  const workers = await Promise.all(
    Array.from({ length: WORKERS }, () => startService(t, { databaseUrl: api.databaseUrl, env })),
  )
  const send = async (): Promise<void> => {
    for (let from = 0; from < EVENTS; from += BATCH) {
      const events = Array.from({ length: BATCH }, (_, index) => ({
        event: 'product.updated',
        data: {
          product_id: `p${(from + index) % KEYS}`,
          name: 'Apron',
          n: Math.floor((from + index) / KEYS),
        },
      }))
      await eventually(
        'the batch is taken',
        async () => (await tenant.post('/api/events', { events })).statusCode === 202,
      )
    }
  }
  const sent = send()
  const alive = new Set(workers)
  for (const part of [0.2, 0.6]) {
    await eventually('the moment of the kill', () => ledger.total >= EVENTS * part, PATIENCE_MS)
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
  await sent
  await eventually('all is sent', async () => (await statusesOf(api.db, id))['sent'] === EVENTS, PATIENCE_MS)
  t.strictSame(ledger.faults, [], 'no number succeeds before the one before it')
  t.equal(ledger.succeeded.size, KEYS)
  for (const [key, numbers] of ledger.succeeded) {
    t.strictSame(
      numbers,
      Array.from({ length: EVENTS / KEYS }, (_, n) => n),
      key,
    )
  }
})
