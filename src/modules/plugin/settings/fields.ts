import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { RETRY_DELAY_MAX_SECONDS, RETRY_SCHEDULE_MAX_ENTRIES } from '#config/config.ts'
import type { DB, StoredSubscription } from '#db/schema.ts'
import { Nullable, ref, StringEnum } from '#lib/api/schema.ts'
import { DEFAULT_SCOPES, SCOPES, WITH_ARGUMENT } from '#infra/auth/scopes.ts'
import {
  checkBaseUrl,
  checkOpenObject,
  checkOrderingKey,
  checkScopes,
  checkSubscriptions,
  checkUrl,
} from './checks.ts'
import {
  checkClientCertificate,
  type ClientCertificate,
  endOfClientCertificate,
  GivenClientCertificate,
  ShownClientCertificate,
  shownClientCertificate,
  storedClientCertificate,
} from './client-certificate.ts'
import { checkHeaders, lowerCaseNames } from './custom-headers.ts'
import { type Defaults, field, type Field, limit, optional, text } from './field-kinds.ts'
import { type JsonObject, redactLeaves, restoreLeaves } from './redaction.ts'
import { shownSubscription, storedSubscription, Subscription, toldSubscription } from './subscription.ts'

const MAX_CONFIG_BYTES = 64 * 1024
const MAX_METADATA_BYTES = 16 * 1024

const ORDERINGS = ['none', 'key'] as const
type Ordering = (typeof ORDERINGS)[number]

const Url = (description: string) => Type.String({ minLength: 1, maxLength: 2048, description })
const OpenObject = (description?: string) =>
  Type.Unsafe<JsonObject>({
    type: 'object',
    additionalProperties: true,
    ...(description !== undefined && { description }),
  })
const orDefault = <T extends TSchema>(schema: T) => Type.Optional(Nullable(schema))

/**
 * Declares everything about a plugin that people decide, once: bodies, answer, columns, defaults, checks and the
 * consequences of a change are derived. How to add one: docs/architecture.md.
 */
export const FIELDS = {
  name: text(
    'name',
    Type.String({ minLength: 1, maxLength: 200, pattern: '\\S', description: 'What people call it' }),
    Type.String(),
    { required: true },
  ),
  webhook_url: text(
    'webhook_url',
    Url('Where events are delivered to: http or https, on a public address'),
    Type.String(),
    { required: true, isUrl: true, restarts: true, check: checkUrl },
  ),
  description: {
    ...optional('description', orDefault(Type.String({ maxLength: 2000 })), Nullable(Type.String())),
    tell: null,
  },
  base_url: text(
    'base_url',
    orDefault(
      Url(
        'Where its actions are. Default: the origin of webhook_url, following it when that moves to another',
      ),
    ),
    Type.String(),
    {
      isUrl: true,
      check: checkBaseUrl,
      settle: (given, before, webhookUrl) => {
        if (typeof given === 'string') return { value: given }
        const followed = before === originOf(webhookUrl.before)
        return { value: given === undefined && !followed ? before : originOf(webhookUrl.after) }
      },
    },
  ),
  events: field({
    given: orDefault(
      Type.Array(ref(Subscription), {
        maxItems: 100,
        description: 'What it wants to hear of. Default: nothing',
      }),
    ),
    answer: Type.Array(ref(Subscription)),
    initial: [] as StoredSubscription[],
    column: 'subscriptions',
    write: (value) => JSON.stringify(value),
    read: (stored) => stored,
    check: checkSubscriptions,
    settle: (given, before) => ({
      value: given === undefined ? before : (given ?? []).map(storedSubscription),
    }),
    show: (value) => value.map(shownSubscription),
    tell: (value) => value.map(toldSubscription),
    rematches: true,
  }),
  config: field({
    given: orDefault(
      OpenObject(
        'Secrets and settings of the plugin, at most 64 KiB, encrypted at rest. Only admins and, with the scope ' +
          '`self:manage`, the plugin itself read the values; for others each is "[redacted]", which sent back keeps what is stored',
      ),
    ),
    answer: OpenObject(),
    initial: {},
    column: 'config_sealed',
    write: (value, { seal }) => seal(value),
    read: (sealed, { open }) => open(sealed),
    check: (given) => checkOpenObject('config', given, MAX_CONFIG_BYTES),
    settle: (given, before) =>
      given === undefined ? { value: before } : restoreLeaves(given ?? {}, before, 'config'),
    show: (value, mayReadSecrets) => (mayReadSecrets ? value : redactLeaves(value)),
  }),
  metadata: field({
    given: orDefault(OpenObject('Anything of yours, at most 16 KiB')),
    answer: OpenObject(),
    initial: {},
    column: 'metadata',
    write: (value) => JSON.stringify(value),
    read: (stored) => stored,
    check: (given) => checkOpenObject('metadata', given, MAX_METADATA_BYTES),
    tell: null,
  }),
  headers: field({
    given: orDefault(
      Type.Unsafe<Record<string, string>>({
        type: 'object',
        additionalProperties: { type: 'string' },
        description:
          'Sent with every request to the plugin, whatever its gateway asks for: any name but those of the service and ' +
          'of the connection (accept, user-agent, host, content-…, webhook-…, proxy-…), at most 10, values of at most ' +
          '1,024 printable ASCII characters. Encrypted and redacted like config',
      }),
    ),
    answer: OpenObject(),
    initial: {},
    column: 'headers_sealed',
    write: (value, { seal }) => seal(value),
    read: (sealed, { open }) => open(sealed) as Record<string, string>,
    check: checkHeaders,
    settle: (given, before) => {
      if (given === undefined) return { value: before, kept: Object.keys(before).length > 0 }
      const { value, ...found } = restoreLeaves(lowerCaseNames(given ?? {}), before, 'headers')
      return { value: value, ...found }
    },
    isSent: true,
    show: (value, mayReadSecrets) => (mayReadSecrets ? value : redactLeaves(value)),
  }),
  client_certificate: field({
    given: orDefault(GivenClientCertificate),
    answer: Nullable(ShownClientCertificate),
    initial: null as ClientCertificate | null,
    column: 'client_certificate_sealed',
    write: (value, { seal }) => seal({ ...value }),
    read: (sealed, { open }) => (sealed === null ? null : (open(sealed) as unknown as ClientCertificate)),
    follower: {
      column: 'client_certificate_ends_at',
      write: (value) => (value === null ? null : endOfClientCertificate(value)),
    },
    check: checkClientCertificate,
    settle: (given, before) => {
      if (given === undefined) return { value: before, kept: before !== null }
      return { value: given === null ? null : storedClientCertificate(given) }
    },
    show: (value) => (value === null ? null : shownClientCertificate(value)),
    isSent: true,
    isForAdmins: true,
    outlivesReplacement: true,
    restarts: true,
  }),
  retry_schedule: limit(
    'retry_schedule',
    orDefault(
      Type.Array(Type.Integer({ minimum: 1, maximum: RETRY_DELAY_MAX_SECONDS }), {
        maxItems: RETRY_SCHEDULE_MAX_ENTRIES,
        description:
          'Seconds to wait after each failed attempt; [] for none. Default: RETRY_SCHEDULE (30, 300, 3600)',
      }),
    ),
    Nullable(Type.Array(Type.Integer())),
    { answer: Type.Array(Type.Integer()), otherwise: ({ retrySchedule }) => [...retrySchedule] },
  ),
  timeout_ms: limit(
    'timeout_ms',
    orDefault(
      Type.Integer({
        minimum: 1000,
        maximum: 30_000,
        description: 'Deadline of one attempt. Default: DELIVERY_TIMEOUT_MS (10000)',
      }),
    ),
    Nullable(Type.Integer()),
    { answer: Type.Integer(), otherwise: ({ timeoutMs }) => timeoutMs },
  ),
  rate_limit_per_second: limit(
    'rate_limit_per_second',
    orDefault(
      Type.Number({
        minimum: 0.0002,
        maximum: 10_000,
        description:
          'Requests a second, deliveries and calls of actions together; 0.5 is 30 a minute, 0.01 is 36 an hour. Default: no limit',
      }),
    ),
    Nullable(Type.Number()),
    { answer: Nullable(Type.Number()), otherwise: () => null },
  ),
  max_in_flight: limit(
    'max_in_flight',
    orDefault(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        description:
          'Requests under way at once, deliveries and calls of actions together, of which MAX_IN_FLIGHT_CEILING (256) count. Default: MAX_IN_FLIGHT_PER_PLUGIN (4)',
      }),
    ),
    Nullable(Type.Integer()),
    { answer: Type.Integer(), otherwise: ({ maxInFlight }) => maxInFlight },
  ),
  scopes: field({
    given: orDefault(
      Type.Array(Type.String({ minLength: 1, maxLength: 160 }), {
        maxItems: 100,
        uniqueItems: true,
        description:
          "What the plugin's own keys may do: " +
          Object.entries(SCOPES)
            .map(([scope, what]) => `\`${scope}${WITH_ARGUMENT.has(scope) ? ':…' : ''}\` ${what}`)
            .join('; ') +
          `. \`events\` must lie within \`events:read\`. Default: ${DEFAULT_SCOPES.join(', ')}`,
      }),
    ),
    answer: Type.Array(Type.String(), { description: "What the plugin's own keys may do" }),
    initial: null as readonly string[] | null,
    column: 'scopes',
    write: (value) => (value === null ? null : JSON.stringify(value)),
    read: (stored) => stored,
    check: checkScopes,
    show: (value) => [...(value ?? DEFAULT_SCOPES)],
  }),
  include_own: field({
    given: orDefault(
      Type.Boolean({
        description:
          'Events that the plugin published itself, by its own key, come back to it. Default: false',
      }),
    ),
    answer: Type.Boolean({ description: 'It gets back the events that it published itself' }),
    initial: false,
    column: 'include_own',
    write: (value) => value,
    read: (stored) => stored,
    rematches: true,
  }),
  ordering: field({
    given: orDefault(
      StringEnum(ORDERINGS, {
        description:
          '`key`: deliveries of one key go out one at a time, in the order of intake; one that fails holds back only ' +
          'its key. Default: `none`',
      }),
    ),
    answer: StringEnum(ORDERINGS, { description: '`key`: deliveries of one key go out one at a time' }),
    initial: 'none',
    column: 'ordering',
    write: (value) => value,
    read: (stored) => stored as Ordering,
    rematches: true,
  }),
  ordering_key: {
    ...optional(
      'ordering_key',
      orDefault(
        Type.String({
          minLength: 1,
          maxLength: 256,
          description:
            "With `ordering: key`: the path of the key in the event's data, such as `customer.id`. Default: a CloudEvent's " +
            "`subject`, else the id of what the event's type is about: `product_id`, `order_id`, `customer_id`, `booking_id` …",
          examples: ['customer.id'],
        }),
      ),
      Nullable(Type.String()),
    ),
    check: checkOrderingKey,
    rematches: true,
  },
}

export type FieldName = keyof typeof FIELDS
type Fields = typeof FIELDS
type EffectiveName = { [K in FieldName]: Fields[K] extends { effective: unknown } ? K : never }[FieldName]

/** Fields that are stored sealed, which no longer open once their master key is gone. */
export type SealedField = {
  [K in FieldName]: Fields[K]['column'] extends `${string}_sealed` ? K : never
}[FieldName]

/** Everything about a plugin that people decide, decided. */
export type Settings = { [K in FieldName]: Fields[K]['initial'] }
/** A plugin's columns that its settings are written to. */
export type SettingsColumns = { [K in FieldName as Fields[K]['column']]: ReturnType<Fields[K]['write']> }
/** The same, with those that follow from them. */
export type WrittenColumns = SettingsColumns & { client_certificate_ends_at: Date | null }
export type ShownSettings = { [K in FieldName]: Static<Fields[K]['answer']> }
export type EffectiveSettings = { [K in EffectiveName]: Static<Fields[K]['effective']['answer']> }

/** The same of every field, in one type: for what goes through all of them. */
type AnyField = Field<TSchema, TSchema, unknown, keyof DB['plugins']> & {
  effective?: { answer: TSchema; otherwise: (defaults: Defaults) => unknown }
}

/** Every field with its name, in the order of their declaration. */
export const EACH_FIELD = Object.entries(FIELDS) as unknown as readonly (readonly [FieldName, AnyField])[]

/** The fields' schemas in bodies, in answers and in what applies. */
export const GIVEN = mapFields(({ given }) => given) as { [K in FieldName]: Fields[K]['given'] }
export const ANSWER = mapFields(({ answer }) => answer) as { [K in FieldName]: Fields[K]['answer'] }
export const EFFECTIVE = Object.fromEntries(
  EACH_FIELD.flatMap(([name, { effective }]) => (effective === undefined ? [] : [[name, effective.answer]])),
) as { [K in EffectiveName]: Fields[K]['effective']['answer'] }

export const SETTINGS_COLUMNS = EACH_FIELD.map(([, { column }]) => column) as (keyof SettingsColumns)[]

/** Returns what `map` makes of every field, by its name. The caller knows the type of each. */
export function mapFields<T>(map: (field: AnyField, name: FieldName) => T): Record<FieldName, T> {
  return Object.fromEntries(EACH_FIELD.map(([name, field]) => [name, map(field, name)])) as Record<
    FieldName,
    T
  >
}

/** The columns of plugins that nobody sets by PUT or PATCH. */
type KeptColumn =
  | 'id'
  | 'tenant_id'
  | 'slug'
  | 'status'
  | 'status_reason'
  | 'status_changed_at'
  | 'registered_actions'
  | 'revision'
  | 'created_at'
  | 'updated_at'
  | 'deleted_at'

/** Fails to compile while a column of plugins is neither a field's nor kept by the service: `tsc` names it. */
type Undeclared = Exclude<keyof DB['plugins'], keyof WrittenColumns | KeptColumn>
type None<T extends never> = T
export type EveryColumnIsDeclared = None<Undeclared>

export function originOf(url: string): string {
  return URL.parse(url)?.origin ?? ''
}
