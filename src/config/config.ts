import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { parseEnv } from 'node:util'
import { describeVariables, readEnvironment } from './environment.ts'
import { openFilesLimit } from './open-files.ts'

export { environmentVariables } from './environment.ts'

export interface Config {
  readonly host: string
  readonly port: number
  /** Null: embedded Postgres below `dataDir`. */
  readonly databaseUrl: string | null
  /** Most connections of one process, beside the one that listens. */
  readonly connections: { readonly api: number; readonly worker: number }
  /** Files and sockets that this process may have open; null: not known, or without a limit. */
  readonly openFiles: number | null
  readonly dataDir: string
  readonly roles: { readonly api: boolean; readonly worker: boolean }
  readonly loopback: boolean
  /** 32 bytes, or null when none was given. */
  readonly masterKey: Buffer | null
  readonly previousMasterKeys: readonly Buffer[]
  readonly platformKey: string | null
  readonly defaultTenantId: string
  readonly openTenants: readonly string[] | 'any'
  /** Without a slash at its end. */
  readonly publicUrl: string | null
  readonly egress: { readonly allow: string; readonly dns: readonly string[]; readonly httpsOnly: boolean }
  readonly platform: { readonly url: string | null; readonly token: string | null }
  readonly ai: AiConfig
  readonly delivery: {
    readonly timeoutMs: number
    /** Seconds. */
    readonly retrySchedule: readonly number[]
    readonly leaseMs: number
    readonly pollMs: number
    /** At most a quarter of `openFiles`. */
    readonly maxInFlight: number
    readonly maxInFlightAsked: number
    readonly maxInFlightPerPlugin: number
    readonly maxInFlightCeiling: number
    readonly disableAfterHours: number
  }
  readonly maxActionsInFlight: number
  readonly actionCompletionSeconds: number
  readonly flow: { readonly maxStartsPerMinute: number }
  /** The time after which background work counts as stuck. */
  readonly background: { readonly stuckAfterMs: number }
  readonly drainMs: number
  readonly retention: { readonly days: number; readonly bodyDays: number }
  readonly trustProxy: readonly string[]
  readonly logLevel: string
  readonly rateLimitPerMinute: number
  readonly corsOrigins: readonly string[]
  /** The web app; `frameAncestors`: origins whose pages may show it in a frame. */
  readonly console: { readonly isOn: boolean; readonly frameAncestors: readonly string[] }
}

/** The API that writes messages; `baseUrl` null: nothing is asked. */
export interface AiConfig {
  readonly baseUrl: string | null
  readonly apiKey: string | null
  /** In lower case. `authorization`: as Bearer. */
  readonly keyHeader: string
  readonly headers: Readonly<Record<string, string>>
  /** Those that may be asked; the first is the default. Not empty if there is a `baseUrl`. */
  readonly models: readonly string[]
  readonly timeoutMs: number
}

export class ConfigError extends Error {
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(`The configuration is not usable:\n${problems.map((problem) => `  ${problem}`).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

export const RETRY_SCHEDULE_MAX_ENTRIES = 20
export const RETRY_DELAY_MAX_SECONDS = 7 * 24 * 3600

/**
 * The configuration out of an environment; `.env` in the working directory fills what is not set.
 * @throws {ConfigError} with one line for each variable that is not usable
 */
export function loadConfig(
  env: NodeJS.ProcessEnv = process.env,
  dotEnvPath: string | null = '.env',
  openFiles: number | null = openFilesLimit(),
): Config {
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
    values.PLATFORM_KEY === '' || /^bcs_[\x21-\x7e]{32,252}$/.test(values.PLATFORM_KEY),
    'PLATFORM_KEY: give bcs_ followed by 32 to 252 printable characters without spaces',
  )
  check(UUID.test(values.DEFAULT_TENANT_ID), 'DEFAULT_TENANT_ID: give a UUID')
  check(
    values.OPEN_TENANTS.trim() === '*' || list(values.OPEN_TENANTS).every((id) => UUID.test(id)),
    'OPEN_TENANTS: give UUIDs, comma separated, or * for any tenant',
  )
  check(
    values.DATABASE_URL === '' || isUrl(values.DATABASE_URL, ['postgres:', 'postgresql:']),
    'DATABASE_URL: give postgres://user:password@host:port/database',
  )
  const schedule = list(values.RETRY_SCHEDULE).map(Number)
  check(
    schedule.length <= RETRY_SCHEDULE_MAX_ENTRIES &&
      schedule.every((s) => Number.isInteger(s) && s >= 1 && s <= RETRY_DELAY_MAX_SECONDS),
    `RETRY_SCHEDULE: give at most ${RETRY_SCHEDULE_MAX_ENTRIES} whole numbers of seconds, each 1 to ${RETRY_DELAY_MAX_SECONDS}`,
  )
  check(
    values.PUBLIC_URL === '' || isPublicUrl(values.PUBLIC_URL),
    'PUBLIC_URL: give an http or https URL without a query, such as https://automation.example.com',
  )
  check(
    values.PLATFORM_URL === '' || isUrl(values.PLATFORM_URL, ['http:', 'https:']),
    'PLATFORM_URL: give an http or https URL',
  )
  check(
    values.AI_BASE_URL === '' || isPlainUrl(values.AI_BASE_URL),
    'AI_BASE_URL: give an http or https URL without user and password, such as https://api.openai.com/v1',
  )
  const models = list(values.AI_MODEL)
  check(
    values.AI_BASE_URL === '' || models.length > 0,
    'AI_MODEL: give the name of a model of the API at AI_BASE_URL',
  )
  check(
    /^[\x21-\x7e]*$/.test(values.AI_API_KEY),
    'AI_API_KEY: give printable ASCII characters without spaces',
  )
  const aiHeaders = headersOf(values.AI_HEADERS)
  check(
    aiHeaders !== null,
    'AI_HEADERS: give a JSON object of header names and texts, such as {"HTTP-Referer":"https://shop.example"}',
  )
  check(
    list(values.TRUST_PROXY).every(isAddressOrCidr),
    'TRUST_PROXY: give addresses or CIDRs, comma separated',
  )
  check(
    list(values.CORS_ORIGINS).every((origin) => URL.parse(origin)?.origin === origin),
    'CORS_ORIGINS: give origins such as https://console.example.com, without a path, comma separated',
  )
  check(
    list(values.CONSOLE_FRAME_ANCESTORS).every((origin) => URL.parse(origin)?.origin === origin),
    'CONSOLE_FRAME_ANCESTORS: give origins such as https://admin.example.com, without a path, comma separated',
  )
  check(
    list(values.EGRESS_DNS).every(isResolver),
    'EGRESS_DNS: give ip or ip:port ([ip]:port for IPv6), comma separated',
  )
  if (problems.length > 0) throw new ConfigError(problems)

  return deepFreeze({
    host: values.HOST,
    port: values.PORT,
    databaseUrl: orNull(values.DATABASE_URL),
    connections: {
      api: values.DATABASE_API_CONNECTIONS,
      worker: values.DATABASE_WORKER_CONNECTIONS,
    },
    openFiles,
    dataDir: values.DATA_DIR,
    roles: { api: roles.includes('api'), worker: roles.includes('worker') },
    loopback: isLoopback(values.HOST),
    masterKey,
    previousMasterKeys,
    platformKey: orNull(values.PLATFORM_KEY),
    defaultTenantId: values.DEFAULT_TENANT_ID.toLowerCase(),
    openTenants: values.OPEN_TENANTS.trim() === '*' ? 'any' : list(values.OPEN_TENANTS.toLowerCase()),
    publicUrl: orNull(values.PUBLIC_URL.replace(/\/+$/, '')),
    egress: { allow: values.EGRESS_ALLOW, dns: list(values.EGRESS_DNS), httpsOnly: values.HTTPS_ONLY },
    platform: { url: orNull(values.PLATFORM_URL), token: orNull(values.PLATFORM_TOKEN) },
    ai: {
      baseUrl: orNull(values.AI_BASE_URL),
      apiKey: orNull(values.AI_API_KEY),
      keyHeader: values.AI_KEY_HEADER.toLowerCase(),
      headers: aiHeaders ?? {},
      models,
      timeoutMs: values.AI_TIMEOUT_MS,
    },
    delivery: {
      timeoutMs: values.DELIVERY_TIMEOUT_MS,
      retrySchedule: schedule,
      leaseMs: values.LEASE_MS,
      pollMs: values.POLL_MS,
      maxInFlight: Math.min(values.MAX_IN_FLIGHT, attemptsAtOnce(openFiles)),
      maxInFlightAsked: values.MAX_IN_FLIGHT,
      maxInFlightPerPlugin: values.MAX_IN_FLIGHT_PER_PLUGIN,
      maxInFlightCeiling: values.MAX_IN_FLIGHT_CEILING,
      disableAfterHours: values.DISABLE_AFTER_HOURS,
    },
    maxActionsInFlight: values.MAX_ACTIONS_IN_FLIGHT,
    actionCompletionSeconds: values.ACTION_COMPLETION_SECONDS,
    flow: { maxStartsPerMinute: values.FLOW_MAX_STARTS_PER_MINUTE },
    background: { stuckAfterMs: values.STUCK_AFTER_SECONDS * 1_000 },
    drainMs: values.DRAIN_MS,
    retention: { days: values.RETENTION_DAYS, bodyDays: values.BODY_RETENTION_DAYS },
    trustProxy: list(values.TRUST_PROXY),
    logLevel: values.LOG_LEVEL,
    rateLimitPerMinute: values.RATE_LIMIT_PER_MINUTE,
    corsOrigins: list(values.CORS_ORIGINS),
    console: { isOn: values.CONSOLE === 'on', frameAncestors: list(values.CONSOLE_FRAME_ANCESTORS) },
  })
}

/** The variables as they were understood, secrets replaced: for the start-up line. */
export function describeEnvironment(
  env: NodeJS.ProcessEnv = process.env,
  dotEnvPath: string | null = '.env',
): Record<string, unknown> {
  return describeVariables(readEnvironment({ ...readDotEnv(dotEnvPath), ...env }).values)
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

function isUrl(text: string, protocols: readonly string[]): boolean {
  const url = URL.parse(text)
  return url !== null && protocols.includes(url.protocol)
}

/** Null: that is no object of headers. Those that the request has anyway are not among them. */
function headersOf(text: string): Record<string, string> | null {
  if (text === '') return {}
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return null
  const entries = Object.entries(parsed).map(
    ([name, value]) => [name.toLowerCase(), value as unknown] as const,
  )
  const isFine = entries.every(
    ([name, value]) =>
      /^[a-z0-9!#$%&'*+.^_`|~-]{1,100}$/.test(name) &&
      !OWN_HEADERS.has(name) &&
      typeof value === 'string' &&
      /^[\x20-\x7e]{0,4096}$/.test(value),
  )
  return isFine ? (Object.fromEntries(entries) as Record<string, string>) : null
}

const OWN_HEADERS = new Set([
  'host',
  'content-length',
  'content-type',
  'transfer-encoding',
  'connection',
  'accept',
])

function isPlainUrl(text: string): boolean {
  const url = URL.parse(text)
  return isUrl(text, ['http:', 'https:']) && url?.username === '' && url.password === ''
}

/** URLs are made by putting a path behind it. */
function isPublicUrl(text: string): boolean {
  return isUrl(text, ['http:', 'https:']) && !/[?#\s]/.test(text)
}

function isAddressOrCidr(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}

function isResolver(text: string): boolean {
  const [, address = text, port] = /^\[?([^\]]+?)\]?(?::(\d{1,5}))?$/.exec(text) ?? []
  return isIP(text) !== 0 || (isIP(address) !== 0 && Number(port ?? 53) <= 65_535)
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

/** A quarter of the files that may be open: an attempt is a socket, and requests and the database need some, too. */
function attemptsAtOnce(openFiles: number | null): number {
  return openFiles === null ? Infinity : Math.max(1, Math.floor(openFiles / 4))
}
