import type pg from 'pg'

/**
 * The feed's lock is that of feed_position(); prepared transactions of this database count as its writers. A role
 * that may not see others' activity still sees their locks.
 */
const QUERY = `
with locks as materialized (
  select locktype, pid, transactionid from pg_locks
  where granted and (
    (locktype = 'transactionid' and mode = 'ExclusiveLock')
    or (locktype = 'advisory' and classid = 19060 and objid = 0 and objsubid = 2
      and database = (select oid from pg_database where datname = current_database()))
  )
), writers as (
  select transactionid, pid, case when pid is null
    then exists (
      select from pg_prepared_xacts p where p.transaction = transactionid and p.database = current_database()
    )
    else exists (select from locks f where f.locktype = 'advisory' and f.pid = locks.pid)
  end as feed
  from locks where locktype = 'transactionid' and pid is distinct from pg_backend_pid()
), oldest as (
  (select * from writers order by age(transactionid) desc limit 1)
  union
  (select * from writers where feed order by age(transactionid) desc limit 1)
)
select oldest.transactionid::text as id, oldest.pid, oldest.feed, clock_timestamp() as now,
  coalesce(activity.xact_start, prepared.prepared) as since,
  coalesce(activity.application_name, '') as application, activity.usename as account,
  coalesce(activity.datname, prepared.database) as database, activity.state
from oldest
left join pg_stat_activity activity on activity.pid = oldest.pid
left join pg_prepared_xacts prepared on prepared.transaction = oldest.transactionid and oldest.pid is null
order by age(oldest.transactionid) desc`

export interface OpenWriterRow {
  /** Its transaction's. */
  id: string
  pid: number | null
  feed: boolean
  now: Date
  /** Null: this account does not see it. */
  since: Date | null
  application: string
  account: string | null
  database: string | null
  state: string | null
}

/** Returns the oldest open write transaction of the server, and the oldest that has written events. */
export async function selectOpenWriters(pool: pg.Pool): Promise<OpenWriterRow[]> {
  const { rows } = await pool.query<OpenWriterRow>(QUERY)
  return rows
}
