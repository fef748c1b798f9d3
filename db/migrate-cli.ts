/**
 * `npm run db:migrate`: brings the database up to this version. DATABASE_URL, or the embedded database in
 * DATA_DIR (default .data). Exit code 0: it is current now; 1: it is not, and standard error says why.
 */
import { loadEnvFile } from 'node:process'
import { prepareServiceAccount, startEmbeddedPostgres } from '#tools/embedded-postgres/index.ts'
import { migrate } from './migrate.ts'

const log = { info: () => undefined }

async function main(): Promise<void> {
  readEnvFile()
  const url = process.env['DATABASE_URL']
  if (url) {
    await migrateAndPrint(url)
    return
  }
  const postgres = await startEmbeddedPostgres({ dataDir: process.env['DATA_DIR'] ?? '.data', log })
  try {
    await migrateAndPrint(await prepareServiceAccount(postgres.url))
  } finally {
    await postgres.stop()
  }
}

async function migrateAndPrint(url: string): Promise<void> {
  const { applied } = await migrate(url, { log })
  for (const name of applied) console.log(`applied ${name}`)
  if (applied.length === 0) console.log('the database is current')
}

function readEnvFile(): void {
  try {
    loadEnvFile()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
