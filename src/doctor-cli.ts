/**
 * `npm run doctor`: checks a deployment as this process finds it and prints what to do. It changes nothing. Exit code 0:
 * nothing has failed (warnings may be there); 1: something has; 2: the command line is not usable.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { createPool } from '#db/connection.ts'
import { type Config, ConfigError, loadConfig } from '#config/config.ts'
import { locateDatabase } from '#config/database.ts'
import { resolveMasterKey } from '#infra/master-key.ts'
import { createSecretBox, type SecretBox } from '#lib/secrets/secret-box.ts'
import type { DoctorContext, Finding } from './doctor/check.ts'
import { CHECKS } from './doctor/checks.ts'

const USAGE = `Usage: npm run doctor

Checks configuration, database, keys, network and storage of this deployment.
It changes nothing, and exits with 1 if something has to be mended.`

const EXIT_USAGE = 2
const TIMEOUT_MS = 10_000
const LONG_TRANSACTION_SECONDS = 300
const PREPARED_SECONDS = 60

/** Of all findings that were printed. */
const told: Finding['status'][] = []

function tell(name: string, { status, detail, fix }: Finding): void {
  told.push(status)
  console.log(`[${status}] ${name}: ${detail}`)
  if (fix !== undefined) console.log(`    ${fix}`)
}

async function diagnose(config: Config): Promise<void> {
  const embedded = join(config.dataDir, 'postgres')
  if (config.databaseUrl === null && !existsSync(embedded)) {
    tell('database', { status: 'ok', detail: `There is none yet: "npm start" makes one in ${embedded}.` })
    return
  }
  const log = pino({ level: 'warn' }, pino.destination({ dest: 2, sync: true }))
  const database = await locateDatabase(config, log)
  const pool = createPool(database.url, {
    max: 2,
    applicationName: 'bcs-doctor',
    statementTimeoutMs: TIMEOUT_MS,
    lockTimeoutMs: TIMEOUT_MS,
    idleInTransactionTimeoutMs: TIMEOUT_MS,
    connectionTimeoutMs: TIMEOUT_MS,
  })
  try {
    const secretBox = await boxOf(config)
    await runChecks({
      config,
      secretBox,
      databaseUrl: database.url,
      pool,
      now: Date.now,
      longTransactionSeconds: LONG_TRANSACTION_SECONDS,
      preparedSeconds: PREPARED_SECONDS,
    })
  } finally {
    await pool.end()
    await database.stop()
  }
}

async function runChecks(ctx: DoctorContext): Promise<void> {
  const there = { nothing: true, database: await answers(ctx), tables: false }
  there.tables = there.database && (await hasTables(ctx))
  for (const { name, needs, run } of CHECKS) {
    if (!there[needs]) continue
    try {
      for (const finding of await run(ctx)) tell(name, finding)
    } catch (error) {
      tell(name, {
        status: 'failed',
        detail: `The check itself failed: ${(error as Error).message}.`,
        fix: 'Mend what it says, and run the doctor again.',
      })
    }
  }
}

async function answers({ pool }: DoctorContext): Promise<boolean> {
  try {
    await pool.query('select 1')
    return true
  } catch (error) {
    tell('database', {
      status: 'failed',
      detail: `It does not answer: ${(error as Error).message}.`,
      fix: 'See that DATABASE_URL is right, the server runs and lets this machine in.',
    })
    return false
  }
}

async function hasTables({ pool }: DoctorContext): Promise<boolean> {
  const { rows } = await pool.query<{ there: boolean }>(
    `select bool_and(to_regclass(name) is not null) as there
     from unnest(array['plugins', 'plugin_secrets', 'api_keys', 'tenants', 'erasures', 'automation_inlets']) as name`,
  )
  return rows[0]?.there === true
}

/** Null when there is no key; the check of keys says whether one is missing. */
async function boxOf(config: Config): Promise<SecretBox | null> {
  try {
    const masterKey = await resolveMasterKey({
      given: config.masterKey,
      dataDir: config.dataDir,
      mayGenerate: false,
    })
    return createSecretBox(masterKey, config.previousMasterKeys)
  } catch (error) {
    if (error instanceof ConfigError) return null
    throw error
  }
}

try {
  const { values } = parseArgs({ options: { help: { type: 'boolean' } } })
  if (values.help === true) console.log(USAGE)
  else {
    await diagnose(loadConfig())
    const hasFailed = told.includes('failed')
    console.log(hasFailed ? 'Something has to be mended.' : 'Nothing has to be mended.')
    process.exitCode = hasFailed ? 1 : 0
  }
} catch (error) {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) console.log(`[failed] configuration: ${problem}`)
    process.exitCode = 1
  } else {
    const isUsage = String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS')
    console.error(isUsage ? `${(error as Error).message}\n\n${USAGE}` : (error as Error).message)
    process.exitCode = isUsage ? EXIT_USAGE : 1
  }
}
