import { createKysely } from '#db/connection.ts'
import { migrationStatus } from '#db/migrate.ts'
import { type Check, failed, ok, readRow, warning } from './check.ts'

export const migrationsCheck: Check = {
  name: 'migrations',
  needs: 'database',
  async run({ pool }) {
    const { state, detail } = await migrationStatus(createKysely<unknown>(pool))
    const sentence = `${detail.charAt(0).toUpperCase()}${detail.slice(1)}.`
    switch (state) {
      case 'current':
        return [ok(`The database is at ${detail}.`)]
      case 'extended':
        return [
          warning(
            sentence,
            'Nothing, in the middle of an upgrade: replace the processes of this version by those of the newer one.',
          ),
        ]
      case 'behind':
        return [failed(sentence, 'Run "npm run db:migrate" with this version.')]
      case 'ahead':
        return [failed(sentence, 'Run the version that migrated it, or a newer one.')]
      case 'unreachable':
        return [failed(sentence, 'See that DATABASE_URL is right, the server runs and lets this machine in.')]
    }
  },
}

/**
 * After a physical restore transaction ids are given out again: new events would stand before old ones. The service sees
 * another cluster or timeline by itself, but not a disk's snapshot.
 */
export const feedCheck: Check = {
  name: 'feed',
  needs: 'tables',
  async run({ pool }) {
    const { behind, raises } = await readRow<{ behind: boolean; raises: boolean }>(
      pool,
      `select coalesce(max(position) >
         ((select coalesce(max(epoch), 0)::bigint << 48 from feed_epochs)
           | pg_snapshot_xmax(pg_current_snapshot())::text::bigint), false) as behind,
         -- As ensure_feed_epoch() has it. A standby writes no timeline.
         case when pg_is_in_recovery() then false else not exists (
           select from (select * from feed_epochs order by epoch desc limit 1) newest
           where newest.timeline = feed_timeline()
             and newest.system_identifier = (select system_identifier::text from pg_control_system())) end as raises
       from tenants t cross join lateral (
         select position from events where tenant_id = t.id order by position desc limit 1) last`,
    )
    if (!behind) return [ok('New events stand behind the old ones.')]
    if (raises) {
      return [
        ok('Events of another cluster or timeline stand here. The service raises the epoch when it starts.'),
      ]
    }
    return [
      failed(
        'Events stand at positions that the server has yet to give out, as after a disk’s snapshot was restored: new events would not be seen.',
        'Stop the service and raise the epoch: docs/operations.md, "Backup and restore".',
      ),
    ]
  },
}
