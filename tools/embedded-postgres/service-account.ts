import { createHmac } from 'node:crypto'
import pg from 'pg'

/** The service's account: it owns the database and what is in it, and has no rights beside. */
const SERVICE_ACCOUNT = 'bettercallsold'
/** Of processes that start at once one prepares the account. */
const ACCOUNT_LOCK = 5_047_193_288_112_005n
/** Of processes of an earlier version, which may be at work: their transactions end sooner. */
const LOCK_TIMEOUT = '30s'

/** The rights to what the service asks about others' sessions and transactions (`npm run doctor`). */
const RIGHTS_BESIDE = ['pg_read_all_stats']

/** Objects of the database that are not the account's, as what `alter … owner to` takes: those of earlier versions. */
const NOT_OWNED = `
  with account as (select oid from pg_roles where rolname = '${SERVICE_ACCOUNT}'),
    own_schema as (
      select oid, nspname, nspowner from pg_namespace
      where nspname not like 'pg\\_%' and nspname <> 'information_schema'
    )
  select format('schema %I', nspname) as object from own_schema, account
  where nspname <> 'public' and nspowner <> account.oid
  union all
  select format('%s %I.%I',
    case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table'
      when 'c' then 'type' else 'table' end, nspname, relname)
  from pg_class join own_schema on own_schema.oid = relnamespace, account
  where relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c') and relowner <> account.oid
    -- A column's sequence goes with its table.
    and not exists (
      select from pg_depend
      where classid = 'pg_class'::regclass and objid = pg_class.oid and deptype in ('a', 'i', 'e') and relkind = 'S'
    )
  union all
  select format('routine %s', pg_proc.oid::regprocedure)
  from pg_proc join own_schema on own_schema.oid = pronamespace, account where proowner <> account.oid
  union all
  select format('type %I.%I', nspname, typname)
  from pg_type join own_schema on own_schema.oid = typnamespace, account
  where typtype in ('e', 'd', 'r') and typowner <> account.oid
  union all
  select format('statistics %I.%I', nspname, stxname)
  from pg_statistic_ext join own_schema on own_schema.oid = stxnamespace, account where stxowner <> account.oid`

/**
 * Prepares the service's account in an embedded database: makes it, and hands it what an earlier version made as the
 * superuser. Nothing is left to do when it was prepared before.
 *
 * @param url of the superuser. The account's password follows from its own, so that there is no other file to keep
 * @returns the account's URL
 */
export async function prepareServiceAccount(url: string): Promise<string> {
  const own = new URL(url)
  own.username = SERVICE_ACCOUNT
  own.password = createHmac('sha256', new URL(url).password).update(SERVICE_ACCOUNT).digest('base64url')
  const client = new pg.Client({ connectionString: url, application_name: 'bcs-account' })
  await client.connect()
  try {
    await client.query('begin')
    await client.query(`set local lock_timeout = '${LOCK_TIMEOUT}'`)
    await client.query('select pg_advisory_xact_lock($1)', [ACCOUNT_LOCK])
    const { rowCount } = await client.query('select from pg_roles where rolname = $1', [SERVICE_ACCOUNT])
    await client.query(
      `${rowCount === 0 ? 'create' : 'alter'} role ${SERVICE_ACCOUNT} with login nosuperuser nocreatedb nocreaterole
       noreplication nobypassrls password ${client.escapeLiteral(own.password)}`,
    )
    for (const right of RIGHTS_BESIDE) await client.query(`grant ${right} to ${SERVICE_ACCOUNT}`)
    const database = client.escapeIdentifier(decodeURIComponent(own.pathname.slice(1)))
    await client.query(`alter database ${database} owner to ${SERVICE_ACCOUNT}`)
    const { rows } = await client.query<{ object: string }>(NOT_OWNED)
    for (const { object } of rows) await client.query(`alter ${object} owner to ${SERVICE_ACCOUNT}`)
    await client.query('commit')
  } finally {
    await client.end()
  }
  return own.href
}
