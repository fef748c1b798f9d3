/**
 * `npm run db:types`: migrates a throw-away database and writes its tables as types to db/generated.ts.
 * `--check` writes nothing and exits with 1 when the file is not what the migrations give.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import { Cli } from 'kysely-codegen'
import pg from 'pg'
import { startEmbeddedPostgres } from '#tools/embedded-postgres/index.ts'
import { migrate } from './migrate.ts'

const OUTPUT = join(import.meta.dirname, 'generated.ts')
const log = { info: () => undefined }

/** The text of generated.ts for the database at this address. */
function generateTypes(url: string): Promise<string> {
  return new Cli().generate({
    url,
    dialect: 'postgres',
    defaultSchemas: ['public'],
    excludePattern: 'migrations.*',
    typeOnlyImports: true,
    outFile: null,
    logLevel: 'warn',
  })
}

const PAUSE_MS = 20
const PATIENCE_MS = 5_000

/**
 * Resolves when nobody else is connected: the generator does not wait for its connection to close, and one that the
 * server closes ends the process.
 */
async function untilAlone(url: string): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  const end = performance.now() + PATIENCE_MS
  for (;;) {
    const { rowCount } = await client.query(
      `select from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`,
    )
    if (rowCount === 0 || performance.now() > end) break
    await delay(PAUSE_MS)
  }
  await client.end()
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })
  const dataDir = await mkdtemp(join(tmpdir(), 'bettercallsold-types-'))
  try {
    const postgres = await startEmbeddedPostgres({ dataDir, log, settings: { fsync: 'off' } })
    try {
      await migrate(postgres.url, { log })
      const generated = await generateTypes(postgres.url)
      await untilAlone(postgres.url)
      if (!values.check) await writeFile(OUTPUT, generated)
      else if (generated !== (await readFile(OUTPUT, 'utf8'))) {
        console.error('db/generated.ts is not what db/migrations gives: run npm run db:types')
        process.exitCode = 1
      }
    } finally {
      await postgres.stop()
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}

await main()
