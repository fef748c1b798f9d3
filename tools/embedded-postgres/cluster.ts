import { randomBytes } from 'node:crypto'
import { chmod, chown, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findServerAccount, type ServerAccount } from './account.ts'
import { resolvePostgresBinaries, type PostgresBinaries } from './binaries.ts'
import { isAlive } from './alive.ts'

/** A database cluster on disk, with all that it takes to run it. */
export interface Cluster {
  readonly directory: string
  readonly binaries: PostgresBinaries
  readonly account: ServerAccount
  readonly password: string
}

export const PASSWORD_FILE = 'superuser_password'
const STAGING_PREFIX = 'postgres.init-'

/**
 * Opens the cluster in `<dataDir>/postgres` and creates it when there is none. It is built beside its place and
 * renamed into it, so a crash leaves no half of one, and of two processes that do this at once one wins.
 *
 * @param durable false skips flushing the new files to disk (tests)
 */
export async function openCluster(dataDir: string, durable: boolean): Promise<Cluster> {
  const directory = join(dataDir, 'postgres')
  await mkdir(dataDir, { recursive: true })
  const binaries = await resolvePostgresBinaries()
  const account = await findServerAccount(directory, binaries.initdb)
  if (!(await isDirectory(directory))) {
    await removeAbandonedStaging(dataDir)
    await createCluster(directory, dataDir, binaries, account, durable)
  }
  await takeOverFromRoot(directory, account)
  return { directory, binaries, account, password: await readPassword(directory) }
}

async function createCluster(
  directory: string,
  dataDir: string,
  binaries: PostgresBinaries,
  account: ServerAccount,
  durable: boolean,
): Promise<void> {
  const staging = join(dataDir, `${STAGING_PREFIX}${process.pid}-${randomBytes(4).toString('hex')}`)
  const data = join(staging, 'data')
  const password = join(staging, 'password')
  try {
    await mkdir(data, { recursive: true, mode: 0o700 })
    await writeFile(password, randomBytes(24).toString('base64url'), { mode: 0o600 })
    if (account.ids) {
      const { uid, gid } = account.ids
      await Promise.all([staging, data, password].map((path) => chown(path, uid, gid)))
    }
    await account.run(binaries.initdb, [
      `--pgdata=${data}`,
      '--username=postgres',
      '--auth=scram-sha-256',
      `--pwfile=${password}`,
      '--encoding=UTF8',
      // Sorts by code point, the same on every machine; only "C" is a locale that every libc has.
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
      ...(durable ? [] : ['--no-sync']),
    ])
    await rename(password, join(data, PASSWORD_FILE))
    await rename(data, directory)
  } catch (error) {
    // The other process may have been faster: then its cluster is the one.
    if (!(await isDirectory(directory))) throw error
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

/** Removes the folders of processes that died while they built a cluster. */
async function removeAbandonedStaging(dataDir: string): Promise<void> {
  for (const name of await readdir(dataDir)) {
    if (!name.startsWith(STAGING_PREFIX)) continue
    const pid = Number(name.slice(STAGING_PREFIX.length).split('-')[0])
    if (!isAlive(pid)) await rm(join(dataDir, name), { recursive: true, force: true })
  }
}

/** A data folder that root copied belongs to root, and the server could not read it. */
async function takeOverFromRoot(directory: string, account: ServerAccount): Promise<void> {
  if (!account.ids || (await stat(directory)).uid !== 0) return
  const { uid, gid } = account.ids
  for (const entry of await readdir(directory, { recursive: true })) {
    await chown(join(directory, entry), uid, gid)
  }
  await chown(directory, uid, gid)
  await chmod(directory, 0o700)
}

async function readPassword(directory: string): Promise<string> {
  try {
    return (await readFile(join(directory, PASSWORD_FILE), 'utf8')).trim()
  } catch (cause) {
    throw new Error(
      `${directory} cannot be read as the embedded database: another user made it, or it is something else`,
      { cause },
    )
  }
}

export async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  })
  return found?.isDirectory() ?? false
}
