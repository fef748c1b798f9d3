import { existsSync, readFileSync } from 'node:fs'
import { readFile, rename, rm, stat } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { isAlive } from './alive.ts'
import type { Cluster } from './cluster.ts'

/** Recovery after a crash replays at most max_wal_size; a slow disk needs minutes for 4 GB. */
export const START_TIMEOUT_SECONDS = 300
const LOG_LIMIT_BYTES = 20_000_000
const LOG_TAIL_CHARACTERS = 2_000

/** Lines of postmaster.pid, from 0 (src/include/utils/pidfile.h). */
const PID_LINE = 0
const PORT_LINE = 3
const STATUS_LINE = 7

/** `busy`: it starts, recovers or stops; asking again is all that helps. */
export type PostmasterState = { readonly state: 'none' | 'busy' } | { readonly state: 'ready'; port: number }

export type StopMode = 'fast' | 'immediate'

export async function findPostmaster(cluster: Pick<Cluster, 'directory'>): Promise<PostmasterState> {
  const file = join(cluster.directory, 'postmaster.pid')
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n').map((line) => line.trim())
  const pid = Number(lines[PID_LINE])
  if (!(pid > 0)) return { state: 'none' }
  if (!isPostgres(pid)) {
    // Left by a server that was killed; its number may be another program's now, and Postgres would not start.
    await rm(file, { force: true })
    return { state: 'none' }
  }
  if (lines[STATUS_LINE] !== 'ready') return { state: 'busy' }
  return { state: 'ready', port: Number(lines[PORT_LINE]) }
}

/**
 * Starts the server in a session of its own, so that it survives this process, and waits until it accepts
 * connections. Rejects with the end of its log when it does not, for instance because it runs already.
 *
 * @param settings values must not contain blanks or quotes: pg_ctl passes them through a shell
 */
export async function startPostmaster(
  cluster: Cluster,
  port: number,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const log = join(cluster.directory, 'server.log')
  await rotate(log)
  const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`)
  try {
    await cluster.account.run(cluster.binaries.pgCtl, [
      'start',
      '--wait',
      `--timeout=${START_TIMEOUT_SECONDS}`,
      `--pgdata=${cluster.directory}`,
      `--log=${log}`,
      `--options=-p ${port} ${options.join(' ')}`,
    ])
  } catch (cause) {
    const tail = (await readFile(log, 'utf8').catch(() => '')).slice(-LOG_TAIL_CHARACTERS)
    throw new Error(`Postgres did not start in ${cluster.directory}:\n${tail}`, { cause })
  }
}

export async function stopPostmaster(cluster: Cluster, mode: StopMode): Promise<void> {
  await cluster.account.run(cluster.binaries.pgCtl, [
    'stop',
    '--wait',
    `--mode=${mode}`,
    `--pgdata=${cluster.directory}`,
  ])
}

export function connectionUrl(cluster: Cluster, port: number): string {
  return `postgres://postgres:${cluster.password}@127.0.0.1:${port}/postgres`
}

/** A loopback port that was free a moment ago. */
export async function findFreePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Without /proc (macOS, Windows) a living process under that number has to do. */
function isPostgres(pid: number): boolean {
  if (!isAlive(pid)) return false
  if (!existsSync('/proc/self/comm')) return true
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'postgres'
  } catch {
    return false
  }
}

async function rotate(log: string): Promise<void> {
  const { size } = await stat(log).catch(() => ({ size: 0 }))
  if (size > LOG_LIMIT_BYTES) await rename(log, `${log}.1`)
}
