import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { HELD_PLACE, HELD_SINCE_MS, IS_HELD } from './held-repository.ts'
import { type CallTarget, readTarget } from '../steps/target.ts'

/** One that others wait for, and the execution that tries it for all of them. */
export interface HeldTarget {
  /** As `held_by` has it. */
  target: string
  asks: CallTarget
  /** The plugin's name, `platform`, or the origin. */
  name: string
  /** Of a plugin's; null: it is none, or is gone. */
  plugin: { id: string; slug: string; name: string } | null
  first: {
    id: string
    /** The time of its next try; null: just now. */
    tries_at: Date | null
    /** Its last failure; null: it has not tried yet, or its plugin takes no more for now. */
    error: { code: string; message: string } | null
  }
}

type Row = Pick<HeldTarget, 'target' | 'plugin'> & {
  id: string
  status: string
  due_at: Date
  error: HeldTarget['first']['error']
}

const isHeld = sql.raw(IS_HELD)

/** The first one of each target, by one look into the index of those that are held: however many wait behind it. */
function firstOf(tenantId: string, target: ReturnType<typeof sql.ref>) {
  return sql`
    select e.id, e.status, e.due_at, e.state->'main'->'attempts'->-1->'error' as error,
      ${sql.raw(HELD_SINCE_MS)} as since_ms
    from automation_executions e where e.tenant_id = ${tenantId} and e.held_by = ${target} and ${isHeld}
    order by ${sql.raw(HELD_PLACE)} limit 1`
}

function pluginOf(tenantId: string, target: ReturnType<typeof sql.ref>) {
  return sql`(
    select json_build_object('id', p.id, 'slug', p.slug, 'name', p.name) from plugins p
    where p.tenant_id = ${tenantId} and p.deleted_at is null and position(' ' in ${target}) > 0
      and split_part(${target}, ' ', 1) in (p.slug, p.id::text)
    limit 1) as plugin`
}

function toHeldTarget({ target, plugin, id, status, due_at, error }: Row): HeldTarget {
  const asks = readTarget(target)
  const said = asks.type === 'origin' ? asks.origin : asks.type === 'platform' ? asks.type : asks.ref
  return {
    target,
    asks,
    name: plugin?.name ?? said,
    plugin,
    first: { id, tries_at: status === 'waiting' ? due_at : null, error },
  }
}

/** Tells of each of these targets who tries it. One that nobody waits for any more is left out. */
export async function selectHeldTargets(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  targets: readonly string[],
): Promise<HeldTarget[]> {
  const { rows } = await sql<Row>`
    select asked.target, first.id, first.status, first.due_at, first.error, ${pluginOf(tenantId, sql.ref('asked.target'))}
    from unnest(${[...targets]}::text[]) as asked (target)
    cross join lateral (${firstOf(tenantId, sql.ref('asked.target'))}) first`.execute(db)
  return rows.map(toHeldTarget)
}

export interface HeldQueue extends HeldTarget {
  /** Number of those that wait, up to what is counted. */
  waiting: number
  since: Date
}

/**
 * Returns the targets that executions have waited for at least so long, those with the most waiting first. Targets are
 * found one after another in the index, and counted up to a limit each.
 */
export async function selectHeldQueues(
  db: Kysely<DB>,
  tenantId: string,
  limits: { olderThanMs: number; targets: number; waiting: number },
): Promise<HeldQueue[]> {
  const next = (after: ReturnType<typeof sql>) => sql`
    select e.held_by from automation_executions e
    where e.tenant_id = ${tenantId} and e.held_by is not null ${after} order by e.held_by limit 1`
  const { rows } = await sql<Row & Pick<HeldQueue, 'waiting' | 'since'>>`
    with recursive held as (
      (${next(sql``)})
      union all
      select (${next(sql`and e.held_by > held.held_by`)}) from held where held.held_by is not null
    )
    select held.held_by as target, first.id, first.status, first.due_at, first.error,
      to_timestamp(first.since_ms / 1000) as since, (
        select count(*)::int from (
          select from automation_executions e
          where e.tenant_id = ${tenantId} and e.held_by = held.held_by and ${isHeld} limit ${limits.waiting}
        ) counted
      ) as waiting, ${pluginOf(tenantId, sql.ref('held.held_by'))}
    from (select held_by from held where held_by is not null limit ${limits.targets * FOUND_PER_TOLD}) held
    cross join lateral (${firstOf(tenantId, sql.ref('held.held_by'))}) first
    where first.since_ms <= extract(epoch from now())::float8 * 1000 - ${limits.olderThanMs}::float8
    order by waiting desc, target limit ${limits.targets}`.execute(db)
  return rows.map(({ waiting, since, ...row }) => ({ ...toHeldTarget(row), waiting, since }))
}

/** Targets that are looked at for each one that is told. */
const FOUND_PER_TOLD = 5
