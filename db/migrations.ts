import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type IndexStatement, readIndexStatements, statementsOf } from './concurrent-indexes.ts'

export const MIGRATIONS_DIRECTORY = join(import.meta.dirname, 'migrations')

export interface MigrationFile {
  /** File name without its ending: `0001_init`. */
  readonly name: string
  readonly path: string
  readonly text: string
  /** Of the text with LF line ends, so that a checkout on Windows is the same migration. */
  readonly sha256: string
  readonly kind: MigrationKind
  /** Of a file that builds its indexes while writes go on; null: it is one transaction. */
  readonly indexes: readonly IndexStatement[] | null
}

/** `additive`: processes of the release before it go on with the schema that it leaves. */
export type MigrationKind = 'additive' | 'breaking'

/** Those before it have no mark, and count as breaking. */
const FIRST_MARKED = 19
const MARK = /^-- (additive|breaking)\b/
const CONCURRENTLY = /^-- additive, concurrently$/m

const FILE_NAME = /^(\d{4})_[a-z0-9_]+\.sql$/

/** The migrations in the order in which they are applied. Rejects when a name is not `NNNN_name.sql`, a number is there twice, a mark is missing or a file is not what its mark says. */
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
    kind: kindOf(path, entry, text),
    indexes: text.split('\n', 1)[0]?.match(CONCURRENTLY)
      ? readIndexStatements(path, text)
      : plain(path, text),
  }
}

function kindOf(path: string, entry: string, text: string): MigrationKind {
  const mark = MARK.exec(text)?.[1]
  if (mark === undefined && Number(FILE_NAME.exec(entry)?.[1]) >= FIRST_MARKED) {
    throw new Error(
      `${path}: the first line is "-- additive" if processes of the release before go on with the new schema, ` +
        'else "-- breaking"',
    )
  }
  return mark === 'additive' ? 'additive' : 'breaking'
}

/** Such statements run outside of a transaction, where they may be left half done: only a marked file is gone on with. */
function plain(path: string, text: string): null {
  if (statementsOf(text).some((statement) => /\bconcurrently\b/i.test(statement))) {
    throw new Error(`${path}: the first line of a file with "concurrently" is "-- additive, concurrently"`)
  }
  return null
}
