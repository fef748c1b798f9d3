import { setTimeout as delay } from 'node:timers/promises'
import { type OpenWriterRow, selectOpenWriters } from '#infra/open-writer-repository.ts'
import { type Check, type DoctorContext, type Finding, orOk, readRow, warning } from './check.ts'

const SECOND_LOOK_MS = 2_000
const END = 'End it: select pg_terminate_backend(<process>).'

/** Transactions that stay open: what each of them holds back, and whether this account sees since when. */
export const transactionsCheck: Check = {
  name: 'transactions',
  needs: 'tables',
  async run(ctx) {
    const findings = [
      ...(await openWriters(ctx)),
      ...(await openReaders(ctx)),
      ...(await prepared(ctx)),
      ...(await blindness(ctx)),
    ]
    return orOk(findings, 'No transaction stays open.')
  },
}

/** The oldest of the server, and the oldest that wrote events. Those that are prepared are counted apart. */
async function openWriters({ pool, longTransactionSeconds }: DoctorContext): Promise<Finding[]> {
  const writers = (await selectOpenWriters(pool)).filter(({ pid }) => pid !== null)
  const long = writers.filter(
    ({ since, now }) => since !== null && (now.getTime() - since.getTime()) / 1_000 > longTransactionSeconds,
  )
  const hidden = writers.filter(({ since }) => since === null)
  if (hidden.length > 0) {
    // Since when is not seen, only that it is still there: most are gone in a moment.
    await delay(SECOND_LOOK_MS)
    const still = new Set((await selectOpenWriters(pool)).map(({ id }) => id))
    long.push(...hidden.filter(({ id }) => still.has(id)))
  }
  return long.map((writer) =>
    warning(
      writer.feed
        ? `A transaction that wrote events ${openFor(writer)}: flows, waits and the feed see nothing that came after it, in all shops.`
        : `A write transaction ${openFor(writer)}: erasures wait for it, and vacuum cannot clear up behind it.`,
      END,
    ),
  )
}

function openFor({ pid, database, application, since, now }: OpenWriterRow): string {
  const seconds = ((since === null ? SECOND_LOOK_MS : now.getTime() - since.getTime()) / 1_000).toFixed()
  const whose = [`process ${pid}`, ...(database === null ? [] : [`database ${database}`])]
  if (application !== '') whose.push(`application ${application}`)
  return `has been open for ${since === null ? 'at least ' : ''}${seconds} s (${whose.join(', ')})`
}

/** The oldest of this database that has a snapshot and wrote nothing, such as a dump or a forgotten session. */
async function openReaders({ pool, longTransactionSeconds }: DoctorContext): Promise<Finding[]> {
  const { rows } = await pool.query<{ pid: number; application: string; seconds: number }>(
    `select pid, application_name as application,
       extract(epoch from clock_timestamp() - xact_start)::float8 as seconds
     from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and backend_xid is null
       and xact_start < clock_timestamp() - $1::float8 * interval '1 second'
     order by xact_start limit 1`,
    [longTransactionSeconds],
  )
  return rows.map(({ pid, application, seconds }) =>
    warning(
      `A transaction that only reads has been open for ${Math.round(seconds)} s (process ${pid}${application === '' ? '' : `, application ${application}`}): vacuum cannot clear up behind it.`,
      END,
    ),
  )
}

async function prepared({ pool, preparedSeconds }: DoctorContext): Promise<Finding[]> {
  const { rows } = await pool.query<{ count: number; gids: string | null }>(
    `select count(*)::integer as count, string_agg(quote_literal(gid) || ' in ' || database, ', ' order by prepared) as gids
     from pg_prepared_xacts where prepared < clock_timestamp() - $1::float8 * interval '1 second'`,
    [preparedSeconds],
  )
  const { count = 0, gids = null } = rows[0] ?? {}
  if (count === 0) return []
  return [
    warning(
      `${count} prepared transactions have been open for more than ${preparedSeconds} s (${gids ?? ''}): erasures and vacuum wait for them, and flows, waits and the feed for those of this database.`,
      "In their database: commit prepared '<gid>', or rollback prepared '<gid>'.",
    ),
  ]
}

async function blindness({ pool }: DoctorContext): Promise<Finding[]> {
  const { account, sees } = await readRow<{ account: string; sees: boolean }>(
    pool,
    `select current_user as account, pg_has_role('pg_read_all_stats', 'usage') as sees`,
  )
  if (sees) return []
  return [
    warning(
      `The account ${account} does not see since when the transactions of others are open.`,
      `As a superuser: grant pg_read_all_stats to "${account}".`,
    ),
  ]
}
