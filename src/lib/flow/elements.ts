import type { SendWindow } from '#lib/calendar.ts'
import type { Condition } from '#lib/condition/index.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'

/**
 * The newest form of canonical flows that this release knows; what is stored under a newer one is left to its release.
 * Raised when there is something to see that releases before do not know: a type of step (its `since`), a member of one
 * that is there, a guard of an inlet.
 */
export const FLOW_SCHEMA_VERSION = 2
/** Raised when canonical flows change their shape; flows that are stored under an older one are compiled again. */
export const OLDEST_FLOW_SCHEMA_VERSION = 1
/** Raised when the states of executions change their shape. No higher than the newest form of flows. */
export const STATE_SCHEMA_VERSION = 1
/** All forms have the same shape; see `schemaVersionOf`. */
export type FlowSchemaVersion = 1 | 2

/** `linear`: `trigger_event` and `flow_definition.steps`. `graph`: `trigger`, `steps`, `error_handlers`. */
export type FlowFormat = 'linear' | 'graph'

/** Text in which `{{ … }}` and `{% … %}` may stand. Compile it with `compileTemplate` or, for trees, `compileTemplateTree`. */
export type TemplateText = string
/** Any JSON value in whose texts templates may stand. */
export type TemplateTree = unknown

export type StepId = string
/** Says where a port leads: to a step, or `end`, which in a loop's body ends the item and elsewhere the execution. */
export type PortTarget = string
export const END = 'end'

export interface FlowSettings {
  /** For each attempt of an action or request whose step does not say otherwise. */
  timeout_ms: number
  retry: RetryPolicy
  /** Bounds the whole execution. */
  lifetime_ms: number
  enrolment: Enrolment
  /** The days and hours in which messages may be sent. Left out: at any time. */
  send_window?: SendWindow
}

/** The n-th retry waits `base_ms × 2^(n-1)`, at most `cap_ms`, with jitter; a `Retry-After` wins. */
export interface RetryPolicy {
  /**
   * The number of retries after errors that may pass by themselves; they also go on for as long as the patience
   * lasts, whichever is more.
   */
  max_retries: number
  /** Counted from when the execution came to the step. Left out by versions that were published before: none. */
  patience_ms?: number
  base_ms: number
  cap_ms: number
}

export type WhileActive = 'skip' | 'restart' | 'allow'

export interface Enrolment {
  /** Executions with the same rendered key belong together; null: every execution stands alone. */
  key: TemplateText | null
  /** The effect of an event while an execution with its key is running or waiting. */
  while_active: WhileActive
  /**
   * The time after the start of the last execution with the key at which another one may start; null: at any time.
   */
  reenter_after_ms: number | null
  /** Not at any time, in place of `reenter_after_ms`. */
  reenter_never?: true
  /** Events that cancel a waiting execution. */
  cancel_on: EventMatch[]
}

/** An event to wait for. Several are alternatives. */
export interface EventMatch {
  event: string
  /** Paths in the arriving event's data, and templates over the flow's scope that they have to equal. */
  match: Record<string, TemplateText>
  /** Tested with the flow's scope, in which `event` is the arriving event: `event.data.status`. */
  filter: Condition | null
  /** Of `cancel_on`: events that came up to so long before the start count as well. Left out: none does. */
  look_back_ms?: number
}

export type Trigger = EventTrigger | ScheduleTrigger | ManualTrigger | WebhookTrigger

interface TriggerBase {
  /** Unique among the flow's triggers: as sent, or `trigger_1` and so on by position. */
  id: string
}

export interface EventTrigger extends TriggerBase {
  type: 'event'
  event_types: string[]
  /** A condition whose fields are rooted: `trigger.total`. */
  filter: Condition | null
  /** The only source whose events count: a plugin's UUID or `platform`; null: any. */
  plugin_id: string | null
}

export interface ScheduleTrigger extends TriggerBase {
  type: 'schedule'
  /** Five fields, or a name such as `@daily`. */
  cron: string
  /** IANA name. */
  timezone: string
  /** The rule for firings that were missed: nothing, or one run for all of them. */
  catch_up: 'skip' | 'once'
}

export interface ManualTrigger extends TriggerBase {
  type: 'manual'
  /** The schema that the input has to meet; null: any input. */
  input_schema: SafeSchema | null
}

export interface WebhookTrigger extends TriggerBase {
  type: 'webhook'
  /** Tested on the request's body as `trigger`. */
  filter: Condition | null
  /** How a request shows who it is from. Left out: by the URL alone. */
  verify?: HookVerification
  /** The answer once the request is stored. Left out: what became of it. */
  answer?: HookAnswer
  /** Lower-case names of headers that `trigger.headers` has beside the usual ones. Left out: none. */
  headers?: string[]
}

export const HOOK_SCHEMES = [
  'standard_webhooks',
  'shopify',
  'stripe',
  'github',
  'slack',
  'woocommerce',
  'meta',
  'websub',
  'cloudevents',
  'hmac',
] as const
export type HookScheme = (typeof HOOK_SCHEMES)[number]

export interface HookVerification {
  scheme: HookScheme
  /** The shop's connection of the kind `webhook_secret` that has the secret. */
  connection: string
  /** How far the time that is signed may be off. Left out: what is usual for the scheme. */
  tolerance_seconds?: number
  /** Of `websub`: the only topic that may be subscribed to. */
  topic?: string
  /** Of `hmac`. */
  hmac?: HookSignature
}

export const HOOK_ALGORITHMS = ['sha1', 'sha256', 'sha512'] as const
export const HOOK_ENCODINGS = ['hex', 'base64'] as const

/** Where a signature stands, and what it is one of. */
export interface HookSignature {
  /** Header names are in lower case. */
  header: string
  algorithm: (typeof HOOK_ALGORITHMS)[number]
  encoding: (typeof HOOK_ENCODINGS)[number]
  /** Before the signature in its header. */
  prefix: string
  /** The text that is signed, in which `{body}`, `{timestamp}` and `{id}` stand for those. */
  signed: string
  timestamp_header: string | null
  /** Has what tells a delivery from others. */
  id_header: string | null
}

export const HOOK_ANSWER_STATUSES = [200, 202, 204] as const
export const HOOK_ANSWER_TYPES = ['text/plain', 'application/json', 'application/xml', 'text/xml'] as const

export interface HookAnswer {
  status: (typeof HOOK_ANSWER_STATUSES)[number]
  content_type: (typeof HOOK_ANSWER_TYPES)[number]
  body: string
}

/** A step of one type. */
export interface StepBase<Type extends string, Config, Port extends string> {
  type: Type
  /** The name that people gave it; null: its id. */
  name: string | null
  config: Config
  /** For steps that call others, else null. */
  retry: RetryPolicy | null
  timeout_ms: number | null
  /** Every port of the type; `error` is left out when an error goes to the flow's handlers. */
  next: Partial<Record<Port, PortTarget>>
  /** It is one of the flow's error handlers. */
  handler: boolean
  /** The loop in whose body it stands. Bodies do not stand in one another. */
  loop: StepId | null
}

/** An action that a step calls, as `action` and `message` have one. */
export interface ActionConfig {
  action_type: string
  /** A plugin's UUID, or `platform`: resolved when the flow was compiled. */
  plugin_id: string
  input: Record<string, TemplateTree>
}

export const MESSAGE_CHANNELS = ['email', 'sms', 'notification'] as const
export type MessageChannel = (typeof MESSAGE_CHANNELS)[number]

export const MESSAGE_FORMATS = ['text', 'html'] as const
export type MessageFormat = (typeof MESSAGE_FORMATS)[number]
