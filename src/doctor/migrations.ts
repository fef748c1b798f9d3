import { createKysely } from '#db/connection.ts'
import { migrationStatus } from '#db/migrate.ts'
import { type Check, failed, ok, readRow } from './check.ts'

export const migrationsCheck: Check = {
  name: 'migrations',
  needs: 'database',
  async run({ pool }) {
    const { state, detail } = await migrationStatus(createKysely<unknown>(pool))
    if (state === 'current') return [ok(`The database is at ${detail}.`)]
    const fix =
      state === 'ahead'
        ? 'Run the version that migrated it, or a newer one.'
        : 'Run "npm run db:migrate" with this version.'
    return [failed(`${detail.charAt(0).toUpperCase()}${detail.slice(1)}.`, fix)]
  },
}

/** After a physical restore transaction ids are given out again: new events would stand before old ones. */
export const feedCheck: Check = {
  name: 'feed',
  needs: 'tables',
  async run({ pool }) {
    const { behind } = await readRow<{ behind: boolean }>(
      pool,
      `select coalesce(max(position) >
         ((select coalesce(max(epoch), 0)::bigint << 48 from feed_epochs)
           | pg_snapshot_xmax(pg_current_snapshot())::text::bigint), false) as behind
       from tenants t cross join lateral (
         select position from events where tenant_id = t.id order by position desc limit 1) last`,
    )
    if (!behind) return [ok('New events stand behind the old ones.')]
    return [
      failed(
        'Events stand at positions that the server has yet to give out, as after a physical restore: new events would not be seen.',
        'Stop the service and raise the epoch: docs/operations.md, "Backup and restore".',
      ),
    ]
  },
}
