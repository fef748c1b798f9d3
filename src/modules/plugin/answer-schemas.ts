import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Page, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { ANSWER, EFFECTIVE } from './settings/fields.ts'

const SecretInfo = Type.Object({
  id: Type.String(),
  created_at: Timestamp,
  expires_at: Nullable(Timestamp),
})

const Health = Type.Object({
  state: StringEnum(['healthy', 'slow', 'failing', 'unknown'], {
    description:
      'failing: the last attempt failed; slow: half of its answers took 2 s or longer in the last 5 minutes; unknown: nothing was attempted yet, or not since the resume',
  }),
  answer_ms: Nullable(
    Type.Integer({
      description: 'Half of its answers in the last 5 minutes took no longer; null: there was none',
    }),
  ),
  consecutive_failures: Type.Integer(),
  failing_since: Nullable(Timestamp),
  last_success_at: Nullable(Timestamp),
  last_failure_at: Nullable(Timestamp),
  last_error_class: Nullable(Type.String()),
  breaker: StringEnum(['closed', 'open', 'half_open'], {
    description: 'open: attempts are held until hold_until; half_open: one attempt finds out',
  }),
  hold_until: Nullable(Timestamp),
  hold_reason: Nullable(
    StringEnum(['breaker_open', 'retry_after', 'rate_limit'], {
      description:
        'Why nothing is sent until hold_until: the circuit breaker, the plugin asked for it (`Retry-After`), or its rate ' +
        'limit. Null: there is no such time',
    }),
  ),
  key_held_since: Nullable(
    Type.Unsafe<Date | string>({
      type: 'string',
      format: 'date-time',
      description:
        'With `ordering: key`: since when deliveries wait behind another of their key, if that is longer than 5 minutes; ' +
        'which: the delivery log with `reason=behind`',
    }),
  ),
})

const { name, description, webhook_url, base_url, events, ...others } = ANSWER

const plugin = {
  id: Type.String(),
  slug: Type.String(),
  ...{ name, description, webhook_url, base_url, events },
  status: StringEnum(['active', 'paused', 'disabled']),
  status_reason: Nullable(
    Type.String({
      description:
        '`manual`: by the shop; `own_key`: paused by its own key; or why the service disabled it. Null while it is active',
    }),
  ),
  ...others,
  effective: Type.Object(EFFECTIVE, {
    description: "What applies: the plugin's own value, or the service's default where that is null",
  }),
  health: Health,
  waiting: Type.Integer({
    description: 'Deliveries that wait, counted up to 10,000, in lists up to 100: there, 100 are 100 or more',
  }),
  oldest_due_at: Nullable(
    Type.Unsafe<Date | string>({
      type: 'string',
      format: 'date-time',
      description:
        'Since when the oldest delivery that is due has been so, but for replays; null: none is due',
    }),
  ),
  warnings: Type.Optional(
    Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }), {
      description:
        "In the answer to a change: fields of filters that are not in their type's schema, so that they may never " +
        'match, with the nearest that is; and what may keep a client certificate from being of use',
    }),
  ),
  secrets: Type.Array(SecretInfo, {
    description: 'The secrets that sign, newest first, without their values',
  }),
  unreadable: Type.Optional(
    Type.Array(StringEnum(['config', 'headers', 'client_certificate', 'secret']), {
      description:
        'What is stored and cannot be opened, since the master key that sealed it is gone; absent if there is ' +
        'nothing. Rotate the secret, or send the others again. Until all but config opens, deliveries wait',
    }),
  ),
  revision: Type.Integer({ description: 'Raised by every change; the ETag carries it' }),
  created_at: Timestamp,
  updated_at: Timestamp,
}

export const Plugin = Type.Object(plugin, { $id: 'Plugin' })
export type Plugin = Static<typeof Plugin>

export const RegisteredPlugin = Type.Object(
  { ...plugin, secret: Type.String({ description: 'The signing secret: given this once' }) },
  { $id: 'RegisteredPlugin' },
)

export const RotatedSecret = Type.Object(
  {
    secret: Type.String({ description: 'The new signing secret: given this once' }),
    secrets: Type.Array(SecretInfo),
  },
  { $id: 'RotatedSecret' },
)
export type RotatedSecret = Static<typeof RotatedSecret>

export const PluginPage = Page(ref(Plugin), 'PluginPage')

export const TestResult = Type.Object(
  {
    delivered: Type.Boolean({ description: 'Whether the plugin answered 2xx' }),
    response_status: Nullable(Type.Integer({ description: 'Null: there was no answer' })),
    duration_ms: Type.Integer(),
    error_class: Type.Optional(Nullable(Type.String())),
    error_detail: Type.Optional(Nullable(Type.String())),
  },
  { $id: 'TestResult' },
)
export type TestResult = Static<typeof TestResult>
