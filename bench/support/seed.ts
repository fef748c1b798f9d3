import type pg from 'pg'
import { notifyOnce } from '#infra/signals.ts'
import { secretContext } from '#infra/secrets.ts'
import { newId } from '#lib/ids.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { generateSecret } from '#lib/secrets/signature.ts'

export interface PluginSeed {
  url: string
  /** An event type or pattern. */
  event: string
}

/** Makes plugins as registration leaves them. @returns their ids, in order */
export async function seedPlugins(
  pool: pg.Pool,
  options: {
    masterKey: Buffer
    tenantId: string
    plugins: readonly PluginSeed[]
    /** Null: the service's default. */
    maxInFlight?: number | null
    status?: 'active' | 'paused'
    ordering?: 'none' | 'key'
    /** Of the deliveries of a key only the newest is sent. */
    coalesce?: boolean
  },
): Promise<string[]> {
  const { tenantId, plugins, maxInFlight = null, status = 'active', ordering = 'none' } = options
  const coalesce = options.coalesce === true ? { coalesce: { window_seconds: 1 } } : {}
  const box = createSecretBox(options.masterKey)
  const secret = generateSecret()
  const ids = plugins.map(() => newId())
  const secretIds = plugins.map(() => newId())
  await pool.query('insert into tenants (id) values ($1) on conflict do nothing', [tenantId])
  await pool.query(
    `insert into plugins (id, tenant_id, slug, name, webhook_url, base_url, subscriptions, max_in_flight, status, ordering)
     select id, $2, slug, slug, url, url, jsonb_build_array(jsonb_build_object('event', event) || $9::jsonb), $6, $7, $8
     from unnest($1::uuid[], $3::text[], $4::text[], $5::text[]) as p (id, slug, url, event)`,
    [
      ids,
      tenantId,
      ids.map((id) => `p-${id}`),
      plugins.map(({ url }) => url),
      plugins.map(({ event }) => event),
      maxInFlight,
      status,
      ordering,
      JSON.stringify(coalesce),
    ],
  )
  await pool.query(
    `insert into plugin_secrets (id, tenant_id, plugin_id, sealed)
     select s.id, $2, s.plugin_id, s.sealed from unnest($1::uuid[], $3::uuid[], $4::bytea[]) as s (id, plugin_id, sealed)`,
    [
      secretIds,
      tenantId,
      ids,
      secretIds.map((id) => box.seal(secret, secretContext(tenantId, id, 'secret'))),
    ],
  )
  await pool.query(
    'insert into delivery_lanes (plugin_id, tenant_id) select plugin_id, $2 from unnest($1::uuid[]) as l (plugin_id)',
    [ids, tenantId],
  )
  return ids
}

/** A UUIDv7 of the statement's time for row `n`: in time order, as the service makes them. */
const idOf = (n: string): string =>
  `(lpad(to_hex((extract(epoch from statement_timestamp()) * 1000)::bigint + ${n} / 1000), 12, '0') || '7' ||
    lpad(to_hex(${n} % 4096), 3, '0') || '8' || lpad(to_hex((random() * (1::bigint << 52))::bigint), 15, '0'))::uuid`

/**
 * Events with their deliveries, as intake leaves them. Event n goes to `fanOut` of the plugins, in turn.
 * @returns how many deliveries there are now
 */
export async function seedQueue(
  pool: pg.Pool,
  options: {
    tenantId: string
    plugins: readonly string[]
    events: number
    fanOut: number
    body: string
    /** How many ordering keys they have. Left out: none. */
    keys?: number
    /** How many keys they have of which only the newest is sent. Left out: none. */
    coalesceKeys?: number
    /** As a replay leaves them. */
    bulk?: boolean
  },
): Promise<number> {
  const { tenantId, plugins, events, fanOut, body, keys = null, coalesceKeys = null, bulk = false } = options
  await pool.query(
    `with batch as materialized (
       select n, ${idOf('n')} as id from generate_series(0, $2::int - 1) n
     ), stored as (
       insert into events (tenant_id, id, fingerprint, event, source, occurred_at, position, body)
       select $1, id, '', 'bench.seeded', 'api', now(), 0, $3 from batch
     )
     insert into deliveries (tenant_id, id, plugin_id, event_id, event, ordering_key, ordering_place, coalesce_key, bulk)
     select $1, ${idOf('(n * $4::int + k)')}, ($5::uuid[])[1 + (n * $4::int + k) % cardinality($5::uuid[])],
       batch.id, 'bench.seeded', case when $6::int is not null then md5((n % $6)::text)::uuid end,
       case when coalesce($6::int, $7::int) is not null then n end,
       case when $7::int is not null then md5((n % $7)::text)::uuid end, $8
     from batch cross join generate_series(0, $4::int - 1) k`,
    [tenantId, events, body, fanOut, plugins, keys, coalesceKeys, bulk],
  )
  // Autovacuum has long done this in a queue that lives; one round's leftovers are not the next one's burden.
  await pool.query('vacuum (analyze) deliveries, events, delivery_lanes, plugins, delivery_attempts')
  return events * fanOut
}

/** Holds or releases the plugins' deliveries, and says so to the service as its own routes do. */
export async function setStatus(
  pool: pg.Pool,
  plugins: readonly string[],
  status: 'active' | 'paused',
): Promise<void> {
  await pool.query('update plugins set status = $2, revision = revision + 1 where id = any($1::uuid[])', [
    plugins,
    status,
  ])
  for (const channel of ['plugin_changed', 'deliveries_due'] as const) {
    await notifyOnce(pool, channel, 'bench', [])
  }
}

/** Tells whether any delivery waits. */
export async function isWaiting(pool: pg.Pool): Promise<boolean> {
  const { rows } = await pool.query<{ waiting: boolean }>(
    `select exists (select from deliveries where status in ('pending', 'retry')) as waiting`,
  )
  return rows[0]?.waiting === true
}

/** A delivery's body of about `bytes`. */
export function bodyOf(tenantId: string, bytes: number): string {
  const of = (pad: string): string =>
    JSON.stringify({
      event: 'bench.seeded',
      tenant_id: tenantId,
      timestamp: new Date().toISOString(),
      data: { id: 4711, text: pad },
    })
  return of('x'.repeat(Math.max(0, bytes - of('').length)))
}
