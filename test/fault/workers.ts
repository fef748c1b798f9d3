import type { Kysely } from 'kysely'
import type { Test } from 'tap'
import type { DB } from '#db/schema.ts'
import { eventually } from '#test/support/deliveries.ts'
import { type ServiceProcess, startService } from '#test/support/service-process.ts'

const LEASE_MS = 2_000

/** Worker processes of one database, to be killed. */
export interface Workers {
  /** Kills the worker that holds one of these plugins' lanes, as soon as one does. */
  killHolder(pluginIds: readonly string[]): Promise<void>
}

export async function startWorkers(
  t: Test,
  { db, databaseUrl, count }: { db: Kysely<DB>; databaseUrl: string; count: number },
): Promise<Workers> {
  const env = { ROLES: 'worker', LEASE_MS: String(LEASE_MS), POLL_MS: '300' }
  const alive = new Set<ServiceProcess>(
    await Promise.all(Array.from({ length: count }, () => startService(t, { databaseUrl, env }))),
  )
  return {
    killHolder: async (pluginIds) => {
      const victim = await eventually('somebody holds a lane', async () => {
        const lanes = await db
          .selectFrom('delivery_lanes')
          .select('lease_owner')
          .where('plugin_id', 'in', pluginIds)
          .execute()
        const pids = lanes.map(({ lease_owner }) => Number(lease_owner?.split(':')[1]))
        return [...alive].find(({ pid }) => pids.includes(pid))
      })
      alive.delete(victim)
      victim.kill('SIGKILL')
      await victim.exited
    },
  }
}
