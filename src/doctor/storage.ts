import { statfs } from 'node:fs/promises'
import { type Check, failed, type Finding, ok, orOk, readRow, warning } from './check.ts'

const GIB = 1024 ** 3
const FREE_WARNING_SHARE = 0.1
const FREE_FAILED_SHARE = 0.02
const DEAD_MIN = 10_000
const DEAD_SHARE = 0.3
/** Of the 2^31 transactions after which Postgres stops taking writes. */
const AGE_WARNING_SHARE = 0.5
const AGE_FAILED_SHARE = 0.9
const RETENTION_SLACK_DAYS = 2

/** Free space can be seen of this machine only. */
export const diskCheck: Check = {
  name: 'disk',
  needs: 'database',
  async run({ pool, config }) {
    const { size } = await readRow<{ size: string }>(
      pool,
      'select pg_size_pretty(pg_database_size(current_database())) as size',
    )
    const disk = await statfs(config.dataDir).catch(() => null)
    if (config.databaseUrl !== null || disk === null) {
      return [ok(`The database takes ${size}; how much is free on its server cannot be seen from here.`)]
    }
    return [judgeDisk(disk.bavail * disk.bsize, disk.blocks * disk.bsize, size)]
  },
}

export function judgeDisk(free: number, all: number, size: string): Finding {
  const detail = `${(free / GIB).toFixed(1)} GiB of ${(all / GIB).toFixed(1)} GiB are free, the database takes ${size}.`
  const fix = 'Make room, or lower RETENTION_DAYS and BODY_RETENTION_DAYS.'
  if (free < all * FREE_FAILED_SHARE) return failed(detail, fix)
  return free < all * FREE_WARNING_SHARE ? warning(detail, fix) : ok(detail)
}

/** Rows that are dead and stay, transaction ids that run out, and what retention should have removed. */
export const bloatCheck: Check = {
  name: 'bloat',
  needs: 'tables',
  async run({ pool, config }) {
    const findings: Finding[] = []
    const { rows } = await pool.query<{ name: string; live: number; dead: number }>(
      `select relname as name, n_live_tup as live, n_dead_tup as dead from pg_stat_user_tables
       where n_dead_tup > $1::float8 and n_dead_tup > $2::float8 * (n_live_tup + n_dead_tup) order by n_dead_tup desc limit 5`,
      [DEAD_MIN, DEAD_SHARE],
    )
    for (const { name, live, dead } of rows) {
      findings.push(
        warning(
          `${name} has ${dead} dead rows beside ${live} live ones.`,
          `See what holds vacuum back (transactions), then run: vacuum (verbose, analyze) ${name}.`,
        ),
      )
    }
    const { share } = await readRow<{ share: number }>(
      pool,
      'select (max(age(datfrozenxid)) / 2147483648.0)::float8 as share from pg_database',
    )
    findings.push(...judgeAge(share))
    const { days } = await readRow<{ days: number }>(
      pool,
      `select coalesce(extract(epoch from now() - min(oldest.created_at)) / 86400, 0)::float8 as days
       from tenants t cross join lateral (
         select created_at, status from deliveries where tenant_id = t.id order by id limit 1) oldest
       where oldest.status in ('sent', 'failed')`,
    )
    if (days > config.retention.days + RETENTION_SLACK_DAYS) {
      findings.push(
        warning(
          `The oldest ended delivery is ${Math.floor(days)} days old, RETENTION_DAYS is ${config.retention.days}.`,
          'See that a process with the role worker runs: it removes what is old.',
        ),
      )
    }
    return orOk(findings, 'Vacuum and retention keep up.')
  },
}

/** @param share of the transaction ids that are used since the last freeze */
export function judgeAge(share: number): Finding[] {
  const used = `${Math.round(share * 100)} % of the transaction ids are used since the last freeze.`
  const freeze = 'Run: vacuum (freeze) in the database with the highest age(datfrozenxid).'
  if (share > AGE_FAILED_SHARE) return [failed(used, freeze)]
  return share > AGE_WARNING_SHARE ? [warning(used, freeze)] : []
}
