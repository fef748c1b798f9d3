import type pg from 'pg'

/** A worker that has not been seen for so long is not counted on any more. */
const WORKER_GONE_SECONDS = 10

/** Says that this worker is there. @returns how many workers there are and how many lanes they hold together */
export async function checkIn(pool: pg.Pool, owner: string): Promise<{ workers: number; lanes: number }> {
  const { rows } = await pool.query<{ workers: number; lanes: number }>({
    name: 'check_in',
    text: `with me as (
             insert into delivery_workers (owner, seen_at) values ($1, clock_timestamp())
             on conflict (owner) do update set seen_at = excluded.seen_at
           ), gone as (
             delete from delivery_workers where seen_at < clock_timestamp() - interval '10 minutes' and owner <> $1
           )
           select (select count(*) from delivery_workers where owner <> $1
                     and seen_at > clock_timestamp() - $2 * interval '1 second') + 1 as workers,
                  (select count(*) from delivery_lanes where lease_until > clock_timestamp()) as lanes`,
    values: [owner, WORKER_GONE_SECONDS],
  })
  return rows[0] ?? { workers: 1, lanes: 0 }
}

export async function checkOut(pool: pg.Pool, owner: string): Promise<void> {
  await pool.query('delete from delivery_workers where owner = $1', [owner])
}
