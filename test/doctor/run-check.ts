import { randomBytes } from 'node:crypto'
import { loadConfig } from '#config/config.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import type { DoctorContext, Finding } from '#src/doctor/check.ts'
import { CHECKS } from '#src/doctor/checks.ts'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import type { TestDatabase } from '#test/support/database.ts'
import { runCli } from '#test/support/run-cli.ts'

export const ENV = { MASTER_KEY: randomBytes(32).toString('base64'), PLATFORM_KEY: TEST_PLATFORM_KEY }

/** The whole program in this environment. */
export const doctor = (env: Record<string, string>) => runCli('doctor-cli.ts', [], { ...ENV, ...env })

/** One check on a database, as the program runs it. */
export async function run(
  name: string,
  { pool }: Pick<TestDatabase, 'pool'>,
  env: Record<string, string> = {},
  options: Partial<DoctorContext> = {},
): Promise<Finding[]> {
  const check = CHECKS.find((one) => one.name === name)
  if (check === undefined) throw new Error(`there is no check ${name}`)
  const config = loadConfig({ ...ENV, DATABASE_URL: 'postgres://elsewhere/db', ...env }, null)
  const secretBox =
    config.masterKey === null ? null : createSecretBox(config.masterKey, config.previousMasterKeys)
  const limits = { longTransactionSeconds: 300, preparedSeconds: 60 }
  return check.run({
    config,
    secretBox,
    pool,
    databaseUrl: pool.options.connectionString ?? '',
    now: Date.now,
    ...limits,
    ...options,
  })
}
