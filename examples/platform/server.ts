/** The reference platform as a process of its own. See README.md for its variables. */
import { startPlatform } from './platform.ts'

const { env } = process

const host = env['HOST'] ?? '127.0.0.1'

const platform = await startPlatform({
  host,
  port: Number(env['PORT'] ?? 4000),
  token: env['PLATFORM_TOKEN'] ?? 'platform-dev-token',
  isOpen: env['PLATFORM_TOKEN'] === undefined && host === '127.0.0.1',
  tenantId: env['TENANT_ID'] ?? '11111111-1111-1111-1111-111111111111',
  intakeUrl: env['AUTOMATION_URL'] ?? 'http://127.0.0.1:3000',
  intakeKey: env['AUTOMATION_KEY'] ?? null,
  databaseFile: env['DATABASE_FILE'] ?? ':memory:',
  logLevel: env['LOG_LEVEL'] ?? 'info',
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void platform.close().then(() => process.exit(0)))
}
