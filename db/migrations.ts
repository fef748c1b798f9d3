import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

export const MIGRATIONS_DIRECTORY = join(import.meta.dirname, 'migrations')

export interface MigrationFile {
  /** File name without its ending: `0001_init`. */
  readonly name: string
  readonly path: string
  readonly text: string
  /** Of the text with LF line ends, so that a checkout on Windows is the same migration. */
  readonly sha256: string
}

const FILE_NAME = /^(\d{4})_[a-z0-9_]+\.sql$/

/** The migrations in the order in which they are applied. Rejects when a name is not `NNNN_name.sql` or a number is there twice. */
export async function readMigrations(directory = MIGRATIONS_DIRECTORY): Promise<MigrationFile[]> {
  const entries = (await readdir(directory)).filter((entry) => entry.endsWith('.sql')).sort()
  const numbers = new Map<string, string>()
  for (const entry of entries) {
    const number = FILE_NAME.exec(entry)?.[1]
    if (number === undefined) throw new Error(`${join(directory, entry)}: a migration is named NNNN_name.sql`)
    const twin = numbers.get(number)
    if (twin !== undefined) throw new Error(`${join(directory, entry)}: ${twin} has the same number`)
    numbers.set(number, entry)
  }
  return Promise.all(entries.map((entry) => readMigration(directory, entry)))
}

async function readMigration(directory: string, entry: string): Promise<MigrationFile> {
  const path = join(directory, entry)
  const text = (await readFile(path, 'utf8')).replaceAll('\r\n', '\n')
  return {
    name: entry.slice(0, -'.sql'.length),
    path,
    text,
    sha256: createHash('sha256').update(text).digest('hex'),
  }
}
