import type { Condition } from '#lib/condition/index.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'

/** Raised when canonical flows change their shape; what is stored under an older one is compiled again. */
export const FLOW_SCHEMA_VERSION = 1

/** `linear`: `trigger_event` and `flow_definition.steps`. `graph`: `trigger`, `steps`, `error_handlers`. */
export type FlowFormat = 'linear' | 'graph'

/** Text with `{{ … }}` in it. Compile it with `compileTemplate` or, for trees, `compileTemplateTree`. */
export type TemplateText = string
/** Any JSON value in whose texts templates may stand. */
export type TemplateTree = unknown

export type StepId = string
/** Where a port leads: a step, or `end`, which in a loop's body ends the item and elsewhere the execution. */
export type Target = string
export const END = 'end'

/** A flow as the engine runs it: plain JSON, ids checked, defaults written out, every target exists. */
export interface CanonicalFlow {
  schema_version: typeof FLOW_SCHEMA_VERSION
  triggers: Trigger[]
  start: StepId
  /** Steps, the steps of loops' bodies and error handlers: one namespace. */
  steps: Record<StepId, CanonicalStep>
  /** The error handlers in order; an error that no port takes enters at the first one. Empty: the execution fails. */
  handlers: StepId[]
  /** What `variables` holds when an execution starts. Not templates. */
  variables: Record<string, unknown>
  /** Variables of the shop that it reads, and has no value of its own for. Left out: none. */
  shop_variables?: string[]
  settings: FlowSettings
  /** Positions for the builder. Not part of a version: store it apart, and leave it out of comparisons. */
  layout: Record<string, unknown>
}

export interface FlowSettings {
  /** For each attempt of an action or request whose step does not say otherwise. */
  timeout_ms: number
  retry: RetryPolicy
  /** Bounds the whole execution. */
  lifetime_ms: number
  enrolment: Enrolment
}

/** The n-th retry waits `base_ms × 2^(n-1)`, at most `cap_ms`, with jitter; a `Retry-After` wins. */
export interface RetryPolicy {
  /** What may pass by itself is tried again so often, and as long as the patience lasts, whichever is more. */
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
  /** What an event does while an execution with its key is running or waiting. */
  while_active: WhileActive
  /** How long after the start of the last execution with the key another one may start; null: at any time. */
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
  /** What happens to firings that were missed: nothing, or one run for all of them. */
  catch_up: 'skip' | 'once'
}

export interface ManualTrigger extends TriggerBase {
  type: 'manual'
  /** What the input has to be. */
  input_schema: SafeSchema | null
}

export interface WebhookTrigger extends TriggerBase {
  type: 'webhook'
  /** Tested on the request's body as `trigger`. */
  filter: Condition | null
}

interface StepBase<Type extends string, Config, Port extends string> {
  type: Type
  /** What people call it; null: its id. */
  name: string | null
  config: Config
  /** For steps that call others, else null. */
  retry: RetryPolicy | null
  timeout_ms: number | null
  /** Every port of the type; `error` is left out when an error goes to the flow's handlers. */
  next: Partial<Record<Port, Target>>
  /** Whether it is one of the flow's error handlers. */
  handler: boolean
  /** The `for_each` in whose body it stands. Bodies do not stand in one another. */
  loop: StepId | null
}

/** Templates may stand in the condition's values, paths are rooted. */
export type ConditionStep = StepBase<'condition', { condition: Condition }, 'true' | 'false'>

export interface SwitchCase {
  /** The port it leaves by. */
  name: string
  condition: Condition
}
/** The first case that holds decides. */
export type SwitchStep = StepBase<'switch', { cases: SwitchCase[] }, string>

export interface ActionConfig {
  action_type: string
  /** A plugin's UUID, or `platform`: resolved when the flow was compiled. */
  plugin_id: string
  input: Record<string, TemplateTree>
}
export type ActionStep = StepBase<'action', ActionConfig, 'success' | 'error'>

export interface DelayDuration {
  kind: 'duration'
  /** As written; with a template in it, it has to render to a duration such as `3 days`. */
  duration: TemplateText
  /** Null when `duration` holds a template. */
  duration_ms: number | null
}
export interface DelayUntil {
  kind: 'until'
  /** Renders to an ISO 8601 date or time. */
  until: TemplateText
  /** Added to it; negative is before. */
  offset_ms: number
  /** When the time has passed already: go on at once, or end the execution (in a body: the item) here. */
  if_past: 'run_now' | 'skip'
}
export type DelayStep = StepBase<'delay', DelayDuration | DelayUntil, 'next'>

export interface WaitEventConfig {
  any: EventMatch[]
  timeout_ms: number
  /** Events that came up to so long before the wait count as well. */
  look_back_ms: number
}
export type WaitEventStep = StepBase<'wait_event', WaitEventConfig, 'received' | 'timeout'>

export interface ForEachConfig {
  /** A template that renders to a list, or a list of templates. */
  list: TemplateTree
  /** The body's first step; the body is every step whose `loop` is this step's id. */
  body: StepId
  /** A longer list is an error of the step. */
  max_items: number
  /** Items that may be under way at a time. */
  concurrency: number
  /** What is kept of each item when its steps are done. Left out: nothing. */
  collect?: TemplateTree
  /** An item whose error no port takes up ends by itself, and the loop goes on. Left out: the error is the flow's. */
  continues?: true
}
export type ForEachStep = StepBase<'for_each', ForEachConfig, 'done'>

/** In a loop's body the variables are those of the item, and are gone when it ends. */
export type SetStep = StepBase<'set', { variables: Record<string, TemplateTree> }, 'next'>

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
export interface HttpConfig {
  method: HttpMethod
  /** Scheme, host and port stand there as they are; templates may follow after them. */
  url: TemplateText
  headers: Record<string, TemplateText>
  /** Sent as JSON, text as it is; null: no body. */
  body: TemplateTree
  /** The shop's connection by whose credentials it is asked. Left out: by none. */
  connection?: string
}
export type HttpStep = StepBase<'http', HttpConfig, 'success' | 'error'>

export const MESSAGE_CHANNELS = ['email', 'sms', 'notification'] as const
export type MessageChannel = (typeof MESSAGE_CHANNELS)[number]

/** What an OpenAI-compatible endpoint is asked to write. */
export interface MessagePrompt {
  prompt: TemplateText
  /** Null: the operator's. */
  model: string | null
  max_tokens: number
}
export interface MessageConfig {
  channel: MessageChannel
  /** Null, of a notification alone: everybody who gets the shop's notifications. */
  to: TemplateText | null
  subject: TemplateText | null
  /** With `ai`, what is sent when it cannot be asked or does not answer well. */
  body: TemplateText
  ai: MessagePrompt | null
  /** What sends it. In its input the finished message is the step's own output. */
  send_with: ActionConfig
}
export type MessageStep = StepBase<'message', MessageConfig, 'success' | 'error'>

export type StopOutcome = 'done' | 'filtered' | 'stopped' | 'failed'
export type StopStep = StepBase<'stop', { outcome: StopOutcome; reason: TemplateText | null }, never>

export type CanonicalStep =
  | ConditionStep
  | SwitchStep
  | ActionStep
  | DelayStep
  | WaitEventStep
  | ForEachStep
  | SetStep
  | HttpStep
  | MessageStep
  | StopStep

export type StepType = CanonicalStep['type']
