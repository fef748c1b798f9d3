import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

/**
 * Gives the cluster that the service runs on its epoch, unless the newest one is its own: after a dump was restored
 * elsewhere, transaction ids start again from the bottom, and only a higher epoch keeps new events behind the old
 * ones. Two replicas that find a new cluster at once try the same number, and one of them does nothing.
 */
export async function ensureFeedEpoch(db: Kysely<DB>): Promise<void> {
  await sql`
    insert into feed_epochs (epoch, system_identifier)
    select coalesce(newest.epoch, 0) + 1, cluster.system_identifier::text
    from pg_control_system() as cluster
    left join (select epoch, system_identifier from feed_epochs order by epoch desc limit 1) as newest on true
    where newest.system_identifier is distinct from cluster.system_identifier::text
    on conflict (epoch) do nothing`.execute(db)
}
