import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { parseEnv } from 'node:util'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/**
 * The environment, described once: names, types, defaults and meaning. `.env.example` and the table in
 * docs/operations.md are compared with it by a test.
 */
const Environment = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', minLength: 1, description: 'Address to listen on' }),
  PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65535, description: 'Port to listen on' }),
  DATABASE_URL: Type.String({
    default: '',
    description: 'Postgres 15 or newer. Empty: embedded Postgres in DATA_DIR',
  }),
  DATA_DIR: Type.String({
    default: '.data',
    minLength: 1,
    description: 'Embedded database, generated master key',
  }),
  ROLES: Type.String({ default: 'api,worker', description: 'What this process does: api, worker or both' }),
  MASTER_KEY: Type.String({
    default: '',
    description:
      'Base64 of 32 bytes that seals secrets at rest. Generated into DATA_DIR in open mode, required otherwise',
  }),
  MASTER_KEY_PREVIOUS: Type.String({ default: '', description: 'Older master keys, comma separated' }),
  PLATFORM_KEY: Type.String({
    default: '',
    description: 'A platform key given from outside, bcs_ and at least 32 characters',
  }),
  DEFAULT_TENANT_ID: Type.String({
    default: '11111111-1111-1111-1111-111111111111',
    description: 'The tenant that requests without a key work for, in open mode only',
  }),
  EGRESS_ALLOW: Type.String({
    default: '',
    description:
      'Addresses that outgoing requests may reach although they are not public: host-or-CIDR[:port], comma separated. Open mode adds loopback',
  }),
  EGRESS_DNS: Type.String({
    default: '',
    description: "Resolvers as ip[:port], comma separated. Empty: the system's",
  }),
  HTTPS_ONLY: Type.Boolean({ default: false, description: 'Refuse http URLs of plugins' }),
  PLATFORM_URL: Type.String({ default: '', description: "The platform's API" }),
  PLATFORM_TOKEN: Type.String({ default: '', description: "Token for the platform's API" }),
  DELIVERY_TIMEOUT_MS: Type.Integer({
    default: 10_000,
    minimum: 1_000,
    maximum: 30_000,
    description: 'Total deadline of one delivery attempt',
  }),
  RETRY_SCHEDULE: Type.String({
    default: '30,300,3600',
    description: 'Seconds to wait after each failed attempt, at most 20 entries',
  }),
  LEASE_MS: Type.Integer({
    default: 30_000,
    minimum: 1_000,
    maximum: 300_000,
    description: 'How long a worker that stopped answering keeps what it holds',
  }),
  POLL_MS: Type.Integer({
    default: 2_000,
    minimum: 100,
    maximum: 60_000,
    description: 'How often a worker looks for due work that no notification told it of',
  }),
  MAX_IN_FLIGHT: Type.Integer({
    default: 1_024,
    minimum: 1,
    maximum: 20_000,
    description: 'Delivery attempts under way at once in one worker',
  }),
  MAX_IN_FLIGHT_PER_PLUGIN: Type.Integer({
    default: 4,
    minimum: 1,
    maximum: 1_000,
    description: 'Delivery attempts under way at once to one plugin, over all workers',
  }),
  DISABLE_AFTER_HOURS: Type.Integer({
    default: 120,
    minimum: 1,
    maximum: 8_760,
    description: 'A plugin that failed for so long, and at least 20 times, is disabled',
  }),
  RETENTION_DAYS: Type.Integer({
    default: 90,
    minimum: 1,
    maximum: 3_650,
    description: 'How long events and deliveries are kept',
  }),
  BODY_RETENTION_DAYS: Type.Integer({
    default: 30,
    minimum: 1,
    maximum: 3_650,
    description: 'How long event bodies and response bodies are kept',
  }),
  TRUST_PROXY: Type.String({
    default: '',
    description: 'Addresses or CIDRs of the proxies in front, comma separated',
  }),
  LOG_LEVEL: Type.Union(
    ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'].map((level) => Type.Literal(level)),
    { default: 'info', description: 'fatal, error, warn, info, debug, trace or silent' },
  ),
  RATE_LIMIT_PER_MINUTE: Type.Integer({
    default: 0,
    minimum: 0,
    maximum: 100_000_000,
    description: 'Requests a key (or, without keys, an address) may make in a minute. 0: no limit',
  }),
  CORS_ORIGINS: Type.String({
    default: '',
    description: 'Origins that browsers may call from, comma separated',
  }),
})

type Environment = Static<typeof Environment>

export interface Config {
  readonly host: string
  readonly port: number
  /** Null: embedded Postgres below `dataDir`. */
  readonly databaseUrl: string | null
  readonly dataDir: string
  readonly roles: { readonly api: boolean; readonly worker: boolean }
  readonly loopback: boolean
  /** 32 bytes, or null when none was given. */
  readonly masterKey: Buffer | null
  readonly previousMasterKeys: readonly Buffer[]
  readonly platformKey: string | null
  readonly defaultTenantId: string
  readonly egress: { readonly allow: string; readonly dns: readonly string[]; readonly httpsOnly: boolean }
  readonly platform: { readonly url: string | null; readonly token: string | null }
  readonly delivery: {
    readonly timeoutMs: number
    /** Seconds. */
    readonly retrySchedule: readonly number[]
    readonly leaseMs: number
    readonly pollMs: number
    readonly maxInFlight: number
    readonly maxInFlightPerPlugin: number
    readonly disableAfterHours: number
  }
  readonly retention: { readonly days: number; readonly bodyDays: number }
  readonly trustProxy: readonly string[]
  readonly logLevel: string
  readonly rateLimitPerMinute: number
  readonly corsOrigins: readonly string[]
}

export class ConfigError extends Error {
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(`The configuration is not usable:\n${problems.map((problem) => `  ${problem}`).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** Variables whose values never appear in logs. */
const SECRET_VARIABLES = new Set<keyof Environment>([
  'MASTER_KEY',
  'MASTER_KEY_PREVIOUS',
  'PLATFORM_KEY',
  'PLATFORM_TOKEN',
])

export const RETRY_SCHEDULE_MAX_ENTRIES = 20
export const RETRY_DELAY_MAX_SECONDS = 7 * 24 * 3600

/**
 * The configuration out of an environment; `.env` in the working directory fills what is not set.
 * @throws {ConfigError} with one line for each variable that is not usable
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env, dotEnvPath: string | null = '.env'): Config {
  const { values, problems } = readEnvironment({ ...readDotEnv(dotEnvPath), ...env })
  const check = (ok: boolean, problem: string): boolean => {
    if (!ok) problems.push(problem)
    return ok
  }

  const roles = list(values.ROLES)
  check(
    roles.length > 0 && roles.every((role) => role === 'api' || role === 'worker'),
    'ROLES: give api, worker or api,worker',
  )
  const masterKey = values.MASTER_KEY === '' ? null : masterKeyOf('MASTER_KEY', values.MASTER_KEY, problems)
  const previousMasterKeys = list(values.MASTER_KEY_PREVIOUS)
    .map((text) => masterKeyOf('MASTER_KEY_PREVIOUS', text, problems))
    .filter((key) => key !== null)
  check(
    values.PLATFORM_KEY === '' || /^bcs_[\x21-\x7e]{32,}$/.test(values.PLATFORM_KEY),
    'PLATFORM_KEY: give bcs_ followed by at least 32 printable characters',
  )
  check(UUID.test(values.DEFAULT_TENANT_ID), 'DEFAULT_TENANT_ID: give a UUID')
  check(
    values.DATABASE_URL === '' || /^postgres(ql)?:\/\//.test(values.DATABASE_URL),
    'DATABASE_URL: give postgres://user:password@host:port/database',
  )
  const schedule = list(values.RETRY_SCHEDULE).map(Number)
  check(
    schedule.length <= RETRY_SCHEDULE_MAX_ENTRIES &&
      schedule.every((s) => Number.isInteger(s) && s >= 1 && s <= RETRY_DELAY_MAX_SECONDS),
    `RETRY_SCHEDULE: give at most ${RETRY_SCHEDULE_MAX_ENTRIES} whole numbers of seconds, each 1 to ${RETRY_DELAY_MAX_SECONDS}`,
  )
  check(
    values.PLATFORM_URL === '' || /^https?:\/\//.test(values.PLATFORM_URL),
    'PLATFORM_URL: give an http or https URL',
  )
  if (problems.length > 0) throw new ConfigError(problems)

  return deepFreeze({
    host: values.HOST,
    port: values.PORT,
    databaseUrl: orNull(values.DATABASE_URL),
    dataDir: values.DATA_DIR,
    roles: { api: roles.includes('api'), worker: roles.includes('worker') },
    loopback: isLoopback(values.HOST),
    masterKey,
    previousMasterKeys,
    platformKey: orNull(values.PLATFORM_KEY),
    defaultTenantId: values.DEFAULT_TENANT_ID.toLowerCase(),
    egress: { allow: values.EGRESS_ALLOW, dns: list(values.EGRESS_DNS), httpsOnly: values.HTTPS_ONLY },
    platform: { url: orNull(values.PLATFORM_URL), token: orNull(values.PLATFORM_TOKEN) },
    delivery: {
      timeoutMs: values.DELIVERY_TIMEOUT_MS,
      retrySchedule: schedule,
      leaseMs: values.LEASE_MS,
      pollMs: values.POLL_MS,
      maxInFlight: values.MAX_IN_FLIGHT,
      maxInFlightPerPlugin: values.MAX_IN_FLIGHT_PER_PLUGIN,
      disableAfterHours: values.DISABLE_AFTER_HOURS,
    },
    retention: { days: values.RETENTION_DAYS, bodyDays: values.BODY_RETENTION_DAYS },
    trustProxy: list(values.TRUST_PROXY),
    logLevel: values.LOG_LEVEL,
    rateLimitPerMinute: values.RATE_LIMIT_PER_MINUTE,
    corsOrigins: list(values.CORS_ORIGINS),
  })
}

/** The variables as they were understood, secrets and the database's password replaced: for the start-up line. */
export function describeEnvironment(
  env: NodeJS.ProcessEnv = process.env,
  dotEnvPath: string | null = '.env',
): Record<string, unknown> {
  const { values } = readEnvironment({ ...readDotEnv(dotEnvPath), ...env })
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      if (SECRET_VARIABLES.has(name as keyof Environment) && value !== '') return [name, '[redacted]']
      if (name === 'DATABASE_URL') return [name, String(value).replace(/\/\/[^@/]*@/, '//[redacted]@')]
      return [name, value]
    }),
  )
}

/** Name, default and meaning of every variable, in order. */
export function environmentVariables(): { name: string; default: string; description: string }[] {
  return Object.entries(Environment.properties).map(([name, schema]) => ({
    name,
    default: String(schema.default),
    description: schema.description ?? '',
  }))
}

function readEnvironment(env: NodeJS.ProcessEnv): { values: Environment; problems: string[] } {
  const problems: string[] = []
  const raw: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries(Environment.properties)) {
    const given = env[name]?.trim()
    const value = given === undefined || given === '' ? schema.default : convert(schema.type, given)
    if (Value.Check(schema, value)) raw[name] = value
    else {
      raw[name] = schema.default
      const bounds =
        schema.type === 'integer' ? `a whole number from ${schema.minimum} to ${schema.maximum}` : schema.type
      problems.push(`${name}: give ${bounds ?? schema.description}`)
    }
  }
  return { values: raw as Environment, problems }
}

function convert(type: string | undefined, text: string): unknown {
  if (type === 'integer') return /^-?\d+$/.test(text) ? Number(text) : text
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text
  return text
}

function readDotEnv(path: string | null): NodeJS.ProcessEnv {
  if (path === null) return {}
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
  return parseEnv(text)
}

function masterKeyOf(name: string, text: string, problems: string[]): Buffer | null {
  const key = Buffer.from(text, 'base64')
  if (key.length === 32) return key
  problems.push(`${name}: give base64 of exactly 32 bytes, for example from: openssl rand -base64 32`)
  return null
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true
  return isIP(host) === 4 && host.startsWith('127.')
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
}

function orNull(text: string): string | null {
  return text === '' ? null : text
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null && !Buffer.isBuffer(inner)) deepFreeze(inner as object)
  }
  return Object.freeze(value)
}
