import { access, mkdtemp, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isDirectory, openCluster, PASSWORD_FILE } from './cluster.ts'
import { connectionUrl, findPostmaster, stopPostmaster } from './postmaster.ts'
import { joinServer } from './presence.ts'

/** `foreign`: the folder is not an embedded database of this service. */
export type Removal = 'removed' | 'absent' | 'in use' | 'foreign'

/** A server that starts or stops gets so long to be one or the other. */
const PATIENCE_MS = 10_000
const POLL_MS = 50

/**
 * Removes the embedded database of a data folder for good, unless a process uses it. A server that a killed process
 * left behind is nobody's and ends with its database.
 */
export async function removeEmbeddedPostgres(dataDir: string): Promise<Removal> {
  const parent = resolve(dataDir)
  const directory = join(parent, 'postgres')
  if (!(await isDirectory(directory))) return 'absent'
  if (!(await isOurs(directory))) return 'foreign'
  if (!(await endServer(parent, directory))) return 'in use'
  // Moved away first: a start that comes now makes a new one instead of meeting half of this one.
  const aside = join(await mkdtemp(join(parent, 'postgres.removed-')), 'postgres')
  await rename(directory, aside)
  const startedMeanwhile = (await findPostmaster({ directory: aside })).state !== 'none'
  if (startedMeanwhile) await rename(aside, directory)
  await rm(join(aside, '..'), { recursive: true, force: true })
  return startedMeanwhile ? 'in use' : 'removed'
}

async function isOurs(directory: string): Promise<boolean> {
  try {
    await Promise.all(['PG_VERSION', PASSWORD_FILE].map((name) => access(join(directory, name))))
    return true
  } catch {
    return false
  }
}

/** Returns false when another process uses the server, which is left as it is then. */
async function endServer(dataDir: string, directory: string): Promise<boolean> {
  const deadline = performance.now() + PATIENCE_MS
  while (performance.now() < deadline) {
    const postmaster = await findPostmaster({ directory })
    if (postmaster.state === 'none') return true
    if (postmaster.state === 'ready') {
      const cluster = await openCluster(dataDir, true)
      const presence = await joinServer(connectionUrl(cluster, postmaster.port))
      if (presence !== null) {
        try {
          const last = await presence.leave()
          if (last) await stopPostmaster(cluster, 'fast')
          return last
        } finally {
          await presence.release()
        }
      }
    }
    await delay(POLL_MS)
  }
  return false
}
