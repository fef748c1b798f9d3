import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError, describeEnvironment, environmentVariables, loadConfig } from '#config/config.ts'

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(env, null)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

t.test('without any variable it is a loopback service with both roles', async (t) => {
  const config = loadConfig({}, null)
  t.match(config, {
    host: '127.0.0.1',
    port: 3000,
    loopback: true,
    databaseUrl: null,
    roles: { api: true, worker: true },
    masterKey: null,
    platformKey: null,
    delivery: { retrySchedule: [30, 300, 3600] },
  })
})

t.test('an empty variable means its default', async (t) => {
  t.equal(loadConfig({ PORT: '', HTTPS_ONLY: ' ' }, null).port, 3000)
})

t.test('the configuration cannot be changed', async (t) => {
  const config = loadConfig({}, null)
  t.throws(() => Object.assign(config.delivery, { leaseMs: 1 }), TypeError)
})

const unusable: [env: Record<string, string>, mentions: RegExp][] = [
  [{ PORT: '3000x' }, /^PORT: give a whole number from 0 to 65535$/],
  [{ PORT: '65536' }, /^PORT: give a whole number from 0 to 65535$/],
  [{ HTTPS_ONLY: 'yes' }, /^HTTPS_ONLY: give true or false$/],
  [{ LOG_LEVEL: 'loud' }, /^LOG_LEVEL: give fatal, error,/],
  [{ ROLES: 'api,cook' }, /^ROLES: /],
  [{ DATABASE_URL: 'mysql://localhost/x' }, /^DATABASE_URL: give postgres:/],
  [{ DATABASE_URL: 'postgres//localhost' }, /^DATABASE_URL: /],
  [{ MASTER_KEY: 'c2hvcnQ=' }, /^MASTER_KEY: .*openssl rand -base64 32/],
  [{ MASTER_KEY_PREVIOUS: 'c2hvcnQ=' }, /^MASTER_KEY_PREVIOUS: /],
  [{ PLATFORM_KEY: 'bcs_short' }, /^PLATFORM_KEY: /],
  [{ PLATFORM_KEY: `bcs_${'x'.repeat(253)}` }, /^PLATFORM_KEY: /],
  [{ DEFAULT_TENANT_ID: 'one' }, /^DEFAULT_TENANT_ID: /],
  [{ OPEN_TENANTS: 'one' }, /^OPEN_TENANTS: /],
  [{ RETRY_SCHEDULE: '30,-1' }, /^RETRY_SCHEDULE: /],
  [{ RETRY_SCHEDULE: Array(21).fill('1').join(',') }, /^RETRY_SCHEDULE: /],
  [{ PLATFORM_URL: 'ftp://platform.example' }, /^PLATFORM_URL: /],
  [{ AI_BASE_URL: 'localhost:11434', AI_MODEL: 'small' }, /^AI_BASE_URL: give an http or https URL/],
  [{ AI_BASE_URL: 'https://me:pw@ai.example/v1', AI_MODEL: 'small' }, /^AI_BASE_URL: .*without user/],
  [{ AI_BASE_URL: 'https://ai.example/v1' }, /^AI_MODEL: /],
  [{ AI_API_KEY: 'sk-one sk-two' }, /^AI_API_KEY: /],
  [{ AI_TIMEOUT_MS: '100' }, /^AI_TIMEOUT_MS: give a whole number from 1000 to 60000$/],
  [{ TRUST_PROXY: '10.0.0.0/33' }, /^TRUST_PROXY: /],
  [{ TRUST_PROXY: 'everybody' }, /^TRUST_PROXY: /],
  [{ CORS_ORIGINS: 'https://console.example/path' }, /^CORS_ORIGINS: /],
  [{ EGRESS_DNS: '1.1.1.1:99999' }, /^EGRESS_DNS: /],
]

for (const [env, mentions] of unusable) {
  t.test(`refused: ${JSON.stringify(env).slice(0, 60)}`, async (t) => {
    const problems = problemsOf(env)
    t.equal(problems.length, 1)
    t.match(problems[0], mentions)
  })
}

t.test('what is wrong is said all at once, a line each', async (t) => {
  t.equal(problemsOf({ PORT: 'x', ROLES: 'x', PLATFORM_KEY: 'x' }).length, 3)
})

t.test('lists of addresses are taken in every usual form', async (t) => {
  const config = loadConfig(
    { TRUST_PROXY: '10.0.0.0/8, ::1, fd00::/8', EGRESS_DNS: '1.1.1.1,[2606:4700::1111]:53,2606:4700::1001' },
    null,
  )
  t.strictSame(config.trustProxy, ['10.0.0.0/8', '::1', 'fd00::/8'])
  t.equal(config.egress.dns.length, 3)
})

for (const [host, loopback] of Object.entries({
  localhost: true,
  '127.8.8.8': true,
  '::1': true,
  '0.0.0.0': false,
  '::': false,
  '10.0.0.1': false,
  '127.evil.example': false,
})) {
  t.test(`${host} is ${loopback ? '' : 'not '}a loopback host`, async (t) => {
    t.equal(loadConfig({ HOST: host }, null).loopback, loopback)
  })
}

t.test('.env fills what the environment leaves open', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'bettercallsold-config-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const file = join(directory, '.env')
  await writeFile(file, 'PORT=4000\nLOG_LEVEL=debug\n')
  const config = loadConfig({ PORT: '5000' }, file)
  t.equal(config.port, 5000)
  t.equal(config.logLevel, 'debug')
  t.equal(loadConfig({}, join(directory, 'missing')).port, 3000)
})

t.test('the start-up line carries no secret', async (t) => {
  const secret = randomBytes(32).toString('base64')
  const line = JSON.stringify(
    describeEnvironment(
      {
        MASTER_KEY: secret,
        MASTER_KEY_PREVIOUS: secret,
        PLATFORM_KEY: `bcs_${'k'.repeat(32)}`,
        PLATFORM_TOKEN: 'tok-en',
        AI_API_KEY: 'sk-secret',
        AI_BASE_URL: 'https://ai.example/v1?key=pass-word',
        PLATFORM_URL: 'https://user:pass-word@platform.example/api',
        DATABASE_URL: 'postgres://someone:pass-word@db.example/shop?sslmode=require&password=pass-word',
      },
      null,
    ),
  )
  for (const part of [secret, 'kkkk', 'tok-en', 'sk-secret', 'pass-word', 'someone']) t.notMatch(line, part)
  t.match(line, 'db.example/shop')
  t.match(line, 'platform.example/api')
})

t.test('every variable has a meaning', async (t) => {
  for (const { name, description } of environmentVariables()) t.ok(description.length > 10, name)
})

t.test('attempts under way take at most a quarter of the files that may be open', async (t) => {
  const inFlight = (asked: string, openFiles: number | null) => {
    const { maxInFlight, maxInFlightAsked } = loadConfig({ MAX_IN_FLIGHT: asked }, null, openFiles).delivery
    return { maxInFlight, maxInFlightAsked }
  }
  t.strictSame(inFlight('100', 256), { maxInFlight: 64, maxInFlightAsked: 100 })
  t.strictSame(inFlight('60', 256), { maxInFlight: 60, maxInFlightAsked: 60 })
  t.strictSame(inFlight('100', null), { maxInFlight: 100, maxInFlightAsked: 100 })
  t.strictSame(inFlight('100', 3), { maxInFlight: 1, maxInFlightAsked: 100 })
  t.equal(loadConfig({}, null, 256).openFiles, 256)
})
