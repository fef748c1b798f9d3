import { appendFile, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { Test } from 'tap'
import { openCluster } from '#tools/embedded-postgres/cluster.ts'
import { connectionUrl, startPostmaster, stopPostmaster } from '#tools/embedded-postgres/postmaster.ts'
import { eventually } from './deliveries.ts'
import { freePort } from './free-port.ts'
import { PRIVATE_PREFIX, PRIVATE_SERVER_SETTINGS } from './postgres-server.ts'

/** A server with a standby that follows it asynchronously. */
export interface ReplicatedPostgres {
  /** Whichever is the primary answers here, as behind a proxy or a name that moves. */
  readonly url: string
  /** The standby has all that was inserted so far, and gets nothing more. */
  detachStandby(): Promise<void>
  /** The primary dies; the standby is promoted and takes its place. */
  failOver(): Promise<void>
}

export async function startReplicatedPostgres(t: Test): Promise<ReplicatedPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), `${PRIVATE_PREFIX}${process.pid}-`))
  const primary = await openCluster(dataDir, false)
  const port = await freePort()
  const url = connectionUrl(primary, port)
  const running = new Map<string, typeof primary>()
  const start = async (cluster: typeof primary, at: number): Promise<void> => {
    await startPostmaster(cluster, at, { ...PRIVATE_SERVER_SETTINGS, wal_level: 'replica' })
    running.set(cluster.directory, cluster)
  }
  const stop = async (cluster: typeof primary, mode: 'fast' | 'immediate'): Promise<void> => {
    if (running.delete(cluster.directory)) await stopPostmaster(cluster, mode)
  }
  t.teardown(async () => {
    for (const cluster of [...running.values()]) await stop(cluster, 'immediate')
    await rm(dataDir, { recursive: true, force: true })
  })

  const standbyDir = join(dataDir, 'standby')
  await mkdir(standbyDir)
  await cp(primary.directory, join(standbyDir, 'postgres'), { recursive: true })
  const directory = join(standbyDir, 'postgres')
  await writeFile(join(directory, 'standby.signal'), '')
  await appendFile(join(directory, 'postgresql.auto.conf'), `primary_conninfo = '${url}'\n`)
  // The copy is root's, who may not run a server: opening it gives it to the account that may.
  const standby = await openCluster(standbyDir, false)
  const standbyPort = await freePort()
  const standbyUrl = connectionUrl(standby, standbyPort)
  await start(primary, port)
  await start(standby, standbyPort)

  return {
    url,
    detachStandby: async () => {
      const [inserted] = await ask(url, 'select pg_current_wal_insert_lsn()::text as lsn')
      await eventually('the standby has followed', async () => {
        const [followed] = await ask(
          standbyUrl,
          `select pg_last_wal_replay_lsn() >= '${String(inserted?.['lsn'])}'::pg_lsn as done`,
        )
        return followed?.['done'] === true
      })
      await ask(standbyUrl, `alter system set primary_conninfo = ''`)
      await ask(standbyUrl, 'select pg_reload_conf()')
      await eventually('the standby has let go', async () => {
        const [found] = await ask(url, 'select count(*)::int as count from pg_stat_replication')
        return found?.['count'] === 0
      })
    },
    failOver: async () => {
      await stop(primary, 'immediate')
      await ask(standbyUrl, 'select pg_promote()')
      await stop(standby, 'fast')
      await start(standby, port)
    },
  }
}

async function ask(url: string, query: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(query)).rows
  } finally {
    await client.end()
  }
}
