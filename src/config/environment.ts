import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/**
 * The environment, described once: names, types, defaults and meaning. `.env.example` and the table in
 * docs/operations.md are compared with it by a test.
 */
const Environment = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', minLength: 1, description: 'Address to listen on' }),
  PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65535, description: 'Port to listen on' }),
  PUBLIC_URL: Type.String({
    default: '',
    description:
      'What the outside reaches this service by, for URLs that it gives out. Empty: they are paths',
  }),
  DATABASE_URL: Type.String({
    default: '',
    description: 'Postgres 15 or newer. Empty: embedded Postgres in DATA_DIR',
  }),
  DATABASE_API_CONNECTIONS: Type.Integer({
    default: 10,
    minimum: 2,
    maximum: 1_000,
    description: 'Most connections to Postgres that one process opens for requests',
  }),
  DATABASE_WORKER_CONNECTIONS: Type.Integer({
    default: 6,
    minimum: 2,
    maximum: 1_000,
    description: 'Most connections that it opens for work in the background, beside one that listens',
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
  OPEN_TENANTS: Type.String({
    default: '',
    description:
      'Other tenants that X-Tenant-Id may name in open mode, comma separated; * for any. Else the header is ignored there',
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
  AI_BASE_URL: Type.String({
    default: '',
    description:
      'An OpenAI-compatible API, such as https://api.openai.com/v1, that writes messages. Empty: they are written by their templates',
  }),
  AI_API_KEY: Type.String({ default: '', description: 'Key for that API' }),
  AI_KEY_HEADER: Type.String({
    default: 'authorization',
    pattern: '^[A-Za-z0-9-]{1,100}$',
    description:
      'The header that the key goes in: authorization, as Bearer, or another one such as api-key for Azure',
  }),
  AI_HEADERS: Type.String({
    default: '',
    description: 'Further headers for that API, as a JSON object of texts',
  }),
  AI_MODEL: Type.String({
    default: '',
    description:
      'Models that messages may be written by, comma separated; the first is for steps that name none. Needed with AI_BASE_URL',
  }),
  AI_TIMEOUT_MS: Type.Integer({
    default: 20_000,
    minimum: 1_000,
    maximum: 60_000,
    description: 'Total deadline for one answer of that API, after which the template is used',
  }),
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
    description:
      'Delivery attempts under way at once in one worker, at most a quarter of the files that it may open (`ulimit -n`)',
  }),
  MAX_IN_FLIGHT_PER_PLUGIN: Type.Integer({
    default: 4,
    minimum: 1,
    maximum: 1_000,
    description: 'Delivery attempts under way at once to one plugin, over all workers',
  }),
  MAX_IN_FLIGHT_CEILING: Type.Integer({
    default: 256,
    minimum: 1,
    maximum: 1_000,
    description: 'What counts at most of the max_in_flight that plugins ask for',
  }),
  DISABLE_AFTER_HOURS: Type.Integer({
    default: 120,
    minimum: 1,
    maximum: 8_760,
    description: 'A plugin that failed for so long, and at least 20 times, is disabled',
  }),
  MAX_ACTIONS_IN_FLIGHT: Type.Integer({
    default: 1_024,
    minimum: 1,
    maximum: 20_000,
    description:
      'Calls of dispatched actions under way at once in one process, shared out by shop; further ones wait for their turn',
  }),
  ACTION_COMPLETION_SECONDS: Type.Integer({
    default: 3_600,
    minimum: 1,
    maximum: 604_800,
    description: 'How long a plugin that answered an action with 202 has to complete it',
  }),
  FLOW_MAX_STARTS_PER_MINUTE: Type.Integer({
    default: 10_000,
    minimum: 1,
    maximum: 10_000_000,
    description:
      'Executions that events of one minute may start of one flow; the rest is skipped and says so',
  }),
  STUCK_AFTER_SECONDS: Type.Integer({
    default: 60,
    minimum: 1,
    maximum: 86_400,
    description:
      'Background work that came no further, or only failed, for so long makes the process not ready. Statements end after 30 s: a minute is no single slow one',
  }),
  DRAIN_MS: Type.Integer({
    default: 0,
    minimum: 0,
    maximum: 60_000,
    description:
      'How long a process that is told to stop is not ready, and still answers requests, before its socket closes. Processes that only work do not wait',
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
    description:
      'Requests of a tenant (or, without keys, of an address) in a minute, per process. 0: no limit',
  }),
  CORS_ORIGINS: Type.String({
    default: '',
    description: 'Origins that browsers may call from, comma separated',
  }),
  CONSOLE: Type.Union([Type.Literal('on'), Type.Literal('off')], {
    default: 'on',
    description: 'Whether the web app is served at /console: on or off',
  }),
  CONSOLE_FRAME_ANCESTORS: Type.String({
    default: '',
    description: 'Origins whose pages may show the console in a frame, comma separated. Empty: none',
  }),
})

export type Environment = Static<typeof Environment>

/** Variables whose values never appear in logs. */
const SECRET_VARIABLES = new Set<keyof Environment>([
  'MASTER_KEY',
  'MASTER_KEY_PREVIOUS',
  'PLATFORM_KEY',
  'PLATFORM_TOKEN',
  'AI_API_KEY',
  'AI_HEADERS',
])

/** The variables as they were understood, secrets and the database's password replaced: for the start-up line. */
export function describeVariables(values: Environment): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      if (SECRET_VARIABLES.has(name as keyof Environment) && value !== '') return [name, '[redacted]']
      return [name, name.endsWith('_URL') ? withoutCredentials(String(value)) : value]
    }),
  )
}

/** Name, default and meaning of every variable, in order. */
export function environmentVariables(): { name: string; default: string; description: string }[] {
  return variables().map(([name, schema]) => ({
    name,
    default: String(schema.default),
    description: schema.description,
  }))
}

/** The variables with defaults filled in, and one sentence for each that is not usable. */
export function readEnvironment(env: NodeJS.ProcessEnv): { values: Environment; problems: string[] } {
  const problems: string[] = []
  const raw: Record<string, unknown> = {}
  for (const [name, schema] of variables()) {
    const given = env[name]?.trim()
    const value: unknown = given === undefined || given === '' ? schema.default : convert(schema.type, given)
    if (Value.Check(schema, value)) raw[name] = value
    else {
      raw[name] = schema.default
      problems.push(`${name}: give ${expectationOf(schema)}`)
    }
  }
  return { values: raw as Environment, problems }
}

interface Variable {
  type?: string
  default: unknown
  description: string
  minimum?: number
  maximum?: number
}

function variables(): [name: string, schema: Variable & TSchema][] {
  return Object.entries(Environment.properties) as unknown as [string, Variable & TSchema][]
}

function expectationOf(schema: Variable): string {
  if (schema.type === 'integer') return `a whole number from ${schema.minimum} to ${schema.maximum}`
  return schema.type === 'boolean' ? 'true or false' : schema.description
}

function convert(type: string | undefined, text: string): unknown {
  if (type === 'integer') return /^-?\d+$/.test(text) ? Number(text) : text
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text
  return text
}

/** A database URL may carry its password in the query, too. */
function withoutCredentials(text: string): string {
  if (text === '') return text
  const url = URL.parse(text)
  if (url === null) return '[redacted]'
  if (url.username !== '' || url.password !== '') {
    url.username = 'redacted'
    url.password = ''
  }
  for (const name of url.searchParams.keys()) {
    if (/password|token|secret|key/i.test(name)) url.searchParams.set(name, 'redacted')
  }
  return url.href
}
