/** The ceiling of batch intake: the same rows by multi-row inserts, in one statement, without reading or matching. */
import pg from 'pg'
import { newId } from '#lib/ids.ts'
import { serve } from '../support/ipc.ts'

export interface PlainInserts {
  databaseUrl: string
  tenantId: string
  pluginId: string
  event: string
  body: string
  /** Events in a statement; each has one delivery. */
  rows: number
  connections: number
  seconds: number
}

const INSERT = `
with stored as (
  insert into events (tenant_id, id, fingerprint, event, source, occurred_at, position, body)
  select $1, e.id, '', e.event, 'api', now(), (select feed_position()), e.body
  from unnest($2::uuid[], $3::text[], $4::text[]) as e (id, event, body)
)
insert into deliveries (tenant_id, id, plugin_id, event_id, event)
select $1, d.id, $6, d.event_id, d.event from unnest($5::uuid[], $2::uuid[], $3::text[]) as d (id, event_id, event)`

/** @returns events per second */
async function run(load: PlainInserts): Promise<number> {
  const pool = new pg.Pool({ connectionString: load.databaseUrl, max: load.connections })
  const events = Array.from({ length: load.rows }, () => load.event)
  const bodies = Array.from({ length: load.rows }, () => load.body)
  const newIds = (): string[] => Array.from({ length: load.rows }, () => newId())
  // Connected and prepared before the clock runs.
  const insert = (): Promise<unknown> =>
    pool.query({
      name: 'insert',
      text: INSERT,
      values: [load.tenantId, newIds(), events, bodies, newIds(), load.pluginId],
    })
  await Promise.all(Array.from({ length: load.connections }, insert))
  let inserted = 0
  const startedAt = performance.now()
  const endsAt = startedAt + load.seconds * 1_000
  await Promise.all(
    Array.from({ length: load.connections }, async () => {
      while (performance.now() < endsAt) {
        await insert()
        inserted += load.rows
      }
    }),
  )
  const perSecond = inserted / ((performance.now() - startedAt) / 1_000)
  await pool.end()
  return perSecond
}

export type Commands = typeof commands

const commands = { run }

serve(commands)
