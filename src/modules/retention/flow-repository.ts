import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Whose } from './shop-repository.ts'
import { short } from './statement-repository.ts'

/** Deleted flows without executions, with their versions. @returns how many flows */
export async function deleteFlows(
  db: Kysely<DB>,
  whose: Whose,
  before: Date,
  limit: number,
): Promise<number> {
  return short(
    db,
    sql`
      with gone as materialized (
        select f.tenant_id, f.id from automation_flows f
        where f.deleted_at < ${before} and ${whose(sql`f.tenant_id`)} and not ${hasExecution(sql`e.flow_id = f.id and e.tenant_id = f.tenant_id`)}
        limit ${limit}
      ), versions as (
        delete from automation_flow_versions v using gone
        where v.tenant_id = gone.tenant_id and v.flow_id = gone.id
      ), enrolments as (
        delete from automation_enrolments e using gone
        where e.tenant_id = gone.tenant_id and e.flow_id = gone.id
      )
      delete from automation_flows f using gone where f.tenant_id = gone.tenant_id and f.id = gone.id`,
  )
}

/** Enrolments that no rule asks for any more; a rule that was made `never` meanwhile keeps them. @returns how many */
export async function deleteEnrolments(
  db: Kysely<DB>,
  whose: Whose,
  now: Date,
  limit: number,
): Promise<number> {
  return short(
    db,
    sql`
      with old as materialized (
        select tenant_id, flow_id, key_hash from automation_enrolments
        where expires_at < ${now} and ${whose(sql`tenant_id`)} limit ${limit}
      ), kept as (
        update automation_enrolments k set expires_at = null from old
        join automation_flows f on f.tenant_id = old.tenant_id and f.id = old.flow_id
        join automation_flow_versions v on v.tenant_id = f.tenant_id and v.flow_id = f.id and v.version = f.published_version
        where k.tenant_id = old.tenant_id and k.flow_id = old.flow_id and k.key_hash = old.key_hash
          and v.flow -> 'settings' -> 'enrolment' ->> 'reenter_never' = 'true'
        returning k.flow_id, k.key_hash
      )
      delete from automation_enrolments d using old
      where d.tenant_id = old.tenant_id and d.flow_id = old.flow_id and d.key_hash = old.key_hash
        and not exists (select from kept where kept.flow_id = d.flow_id and kept.key_hash = d.key_hash)`,
  )
}

/**
 * Versions that another one replaced before then, that are not published, and that no execution has run. The newest
 * stays in any case: the next one's number follows from it.
 */
export async function deleteVersions(
  db: Kysely<DB>,
  whose: Whose,
  before: Date,
  limit: number,
): Promise<number> {
  return short(
    db,
    sql`
      delete from automation_flow_versions d using (
        select v.tenant_id, v.flow_id, v.version
        from automation_flow_versions v
        join automation_flows f on f.tenant_id = v.tenant_id and f.id = v.flow_id
        where v.version is distinct from f.published_version and ${whose(sql`v.tenant_id`)}
          and exists (
            select from automation_flow_versions n where n.tenant_id = v.tenant_id and n.flow_id = v.flow_id
              and n.version > v.version and n.created_at < ${before})
          and not ${hasExecution(
            sql`e.flow_id = v.flow_id and e.tenant_id = v.tenant_id and e.version = v.version`,
          )}
        limit ${limit}
      ) old
      where d.tenant_id = old.tenant_id and d.flow_id = old.flow_id and d.version = old.version`,
  )
}

/** One probe for each flow: a plain `exists` may be planned as a hash of all executions. */
function hasExecution(condition: ReturnType<typeof sql>) {
  return sql<boolean>`coalesce((select true from automation_executions e where ${condition} limit 1), false)`
}
