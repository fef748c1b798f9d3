import { setTimeout as delay } from 'node:timers/promises'
import type { Figure, Row } from '../support/figure.ts'
import { seedPlugins } from '../support/seed.ts'
import type { FigureDatabase, Stage } from '../support/stage.ts'
import { eventOf } from './intake-single.ts'

const BODY_BYTES = 300
const BATCH = 500
const FAN_OUTS = [0, 1, 10]
const LOOK_MS = 100
const TIMEOUT_MS = 120_000

export const storage: Figure = {
  name: 'storage',
  title: 'Disk of an event',
  about: `What all tables and their indexes have grown by, for one event of ${BODY_BYTES} bytes that came in a batch of ${BATCH} and was delivered to none, one or ten plugins. Not vacuumed: what updates left behind counts, the write-ahead log does not.`,
  async measure(stage) {
    const rows: Row[] = []
    for (const fanOut of FAN_OUTS) rows.push(await measureDisk(stage, fanOut))
    return rows
  },
}

async function measureDisk(stage: Stage, fanOut: number): Promise<Row> {
  const count = stage.pick(20_000, 5_000) / Math.max(1, fanOut)
  const tenantId = crypto.randomUUID()
  const database = await stage.database()
  const receiver = await stage.receiver()
  await seedPlugins(database.pool, {
    masterKey: stage.bed.masterKey,
    tenantId,
    plugins: Array.from({ length: fanOut }, () => ({
      url: `${receiver.url}/count`,
      event: 'product.updated',
    })),
    maxInFlight: 16,
  })
  const service = await stage.service({ databaseUrl: database.url, roles: 'api,worker' })
  const before = await sizes(database)
  const events = Array.from({ length: BATCH }, () => JSON.parse(eventOf(BODY_BYTES)) as unknown)
  for (let sent = 0; sent < count; sent += BATCH) {
    const response = await fetch(`${service.url}/api/events`, {
      method: 'POST',
      headers: { ...stage.headers(tenantId), 'content-type': 'application/json' },
      body: JSON.stringify({ events }),
    })
    if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`)
    await response.body?.cancel()
  }
  await delivered(database, count * fanOut)
  const after = await sizes(database)
  const grown = [...after]
    .map(([table, bytes]) => [table, (bytes - (before.get(table) ?? 0)) / count] as const)
    .filter(([, bytes]) => bytes >= 1)
  return {
    name: `disk of an event, ${fanOut === 0 ? 'no delivery' : fanOut === 1 ? '1 delivery' : `${fanOut} deliveries`}`,
    ours: grown.reduce((sum, [, bytes]) => sum + bytes, 0),
    ceiling: null,
    unit: 'bytes',
    target: fanOut === 1 ? { of: 'ours', atMost: 2_000 } : null,
    detail: { bytes_by_table: Object.fromEntries(grown) },
  }
}

/** Bytes of each table with its indexes and what is stored outside of its rows. */
async function sizes({ pool }: FigureDatabase): Promise<Map<string, number>> {
  const { rows } = await pool.query<{ name: string; bytes: string }>(
    `select relname as name, pg_total_relation_size(oid) as bytes from pg_class
     where relkind = 'r' and relnamespace = 'public'::regnamespace`,
  )
  return new Map(rows.map(({ name, bytes }) => [name, Number(bytes)]))
}

async function delivered({ pool }: FigureDatabase, count: number): Promise<void> {
  const endsAt = performance.now() + TIMEOUT_MS
  for (;;) {
    const { rows } = await pool.query<{ sent: number }>(
      `select count(*)::int as sent from deliveries where status = 'sent'`,
    )
    const sent = rows[0]?.sent ?? 0
    if (sent >= count) return
    if (performance.now() > endsAt) throw new Error(`${sent} of ${count} were delivered in time`)
    await delay(LOOK_MS)
  }
}
