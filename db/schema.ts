import type { ColumnType } from 'kysely'
import type * as Raw from './generated.ts'

/**
 * The generated tables, narrowed: checked text as unions, int8 as number (the driver parses it so,
 * see db/connection.ts) and JSON columns as what the service stores in them.
 */
export interface DB {
  action_invocations: Narrow<
    Raw.ActionInvocations,
    { status: InvocationStatus; lease_token: DefaultTo<number>; data: Json<unknown> | null }
  >
  action_stats: Raw.ActionStats
  api_keys: Narrow<Raw.ApiKeys, { kind: KeyKind; role: TenantRole | null }>
  audit_log: Narrow<Raw.AuditLog, { actor_kind: ActorKind; detail: Json<Record<string, unknown>> }>
  automation_enrolments: Raw.AutomationEnrolments
  automation_event_log: Narrow<
    Raw.AutomationEventLog,
    {
      payload: Json<unknown> | null
      result: Json<unknown> | null
      status: Exclude<InvocationStatus, 'running'>
    }
  >
  automation_executions: Narrow<
    Raw.AutomationExecutions,
    {
      status: ExecutionStatus
      trigger_kind: TriggerKind
      trigger: Json<Record<string, unknown>>
      state: Json<Record<string, unknown>>
      lease_token: DefaultTo<number>
      error: Json<{ code: string; message: string; step_id?: string }> | null
      body_gone: BodyGone | null
    }
  >
  automation_flow_versions: Narrow<
    Raw.AutomationFlowVersions,
    { flow: Json<Record<string, unknown>>; created_by_kind: ActorKind | null }
  >
  automation_flows: Narrow<
    Raw.AutomationFlows,
    {
      status: DefaultTo<FlowStatus>
      revision: DefaultTo<number>
      times_triggered: DefaultTo<number>
      triggers: Json<{ type: string; event_types?: string[] }[]>
      automation: Json<Record<string, unknown>> | null
    }
  >
  automation_inlets: Raw.AutomationInlets
  automation_messages: Narrow<
    Raw.AutomationMessages,
    {
      channel: 'email' | 'sms' | 'notification'
      format: DefaultTo<'text' | 'html'>
      source: 'template' | 'ai'
    }
  >
  automation_schedules: Narrow<Raw.AutomationSchedules, { catch_up: 'skip' | 'once' }>
  automation_steps: Narrow<
    Raw.AutomationSteps,
    {
      status: StepStatus
      duration_ms: number
      input: Json<unknown> | null
      output: Json<unknown> | null
      error: Json<{ code: string; message: string }> | null
      attempt_log: Json<unknown> | null
    }
  >
  automation_templates: Narrow<
    Raw.AutomationTemplates,
    { parameters: Json<unknown[]>; triggers: Json<string[]>; actions: Json<string[]> }
  >
  automation_wait_shapes: Raw.AutomationWaitShapes
  automation_waits: Narrow<
    Raw.AutomationWaits,
    { purpose: 'resume' | 'cancel'; filter: Json<unknown> | null }
  >
  bulk_changes: Narrow<
    Raw.BulkChanges,
    {
      kind: 'cancel' | 'retry'
      request: Json<Record<string, unknown>>
      actor: Json<Record<string, unknown>>
      status: DefaultTo<JobStatus>
      done: DefaultTo<number>
      refused: Json<Record<string, number>>
      lease_token: DefaultTo<number>
    }
  >
  connections: Narrow<
    Raw.Connections,
    { kind: ConnectionKind; settings: Json<Record<string, string>>; revision: DefaultTo<number> }
  >
  deliveries: Narrow<
    Raw.Deliveries,
    { status: DefaultTo<DeliveryStatus>; last_error_class: ErrorClass | null }
  >
  delivery_retries: Narrow<
    Raw.DeliveryRetries,
    {
      request: Json<Record<string, unknown>>
      status: DefaultTo<JobStatus>
      queued: DefaultTo<number>
      skipped: DefaultTo<number>
      lease_token: DefaultTo<number>
    }
  >
  delivery_attempts: Narrow<
    Raw.DeliveryAttempts,
    {
      error_class: ErrorClass | null
      response_headers: Json<Record<string, string>> | null
      request: Json<SentRequest> | null
    }
  >
  delivery_lanes: Narrow<
    Raw.DeliveryLanes,
    {
      breaker_state: DefaultTo<BreakerState>
      hold_reason: HoldReason | null
      lease_token: DefaultTo<number>
      skip_reason: SkipReason | null
    }
  >
  delivery_stats: Raw.DeliveryStats
  delivery_workers: Raw.DeliveryWorkers
  erasures: Narrow<
    Raw.Erasures,
    {
      status: DefaultTo<'queued' | 'running' | 'completed' | 'failed'>
      phase: DefaultTo<ErasurePhase>
      scanned: DefaultTo<number>
      erased: DefaultTo<number>
      lease_token: DefaultTo<number>
      position: DefaultTo<number>
    }
  >
  action_names: Raw.ActionNames
  event_segments: Raw.EventSegments
  event_types: Narrow<
    Raw.EventTypes,
    { sample: Json<unknown> | null; schema: Json<Record<string, unknown>> | null }
  >
  execution_stats: Raw.ExecutionStats
  events: Narrow<
    Raw.Events,
    {
      source: EventSource
      body_gone: BodyGone | null
      position: DefaultTo<number>
      schema_problems: Json<{ pointer: string; detail: string }[]> | null
    }
  >
  flow_cursors: Narrow<Raw.FlowCursors, { position: number; flows_version: DefaultTo<number> }>
  feed_epochs: Raw.FeedEpochs
  plugin_capabilities: Narrow<
    Raw.PluginCapabilities,
    { manifest: Json<Record<string, unknown>> | null; origin: 'pushed' | 'fetched' }
  >
  plugin_secrets: Raw.PluginSecrets
  plugins: Narrow<
    Raw.Plugins,
    {
      status: DefaultTo<PluginStatus>
      subscriptions: Json<StoredSubscription[]>
      metadata: Json<Record<string, unknown>>
      registered_actions: Json<Record<string, unknown>[]>
      scopes: Json<string[]> | null
      revision: DefaultTo<number>
    }
  >
  portal_links: Narrow<
    Raw.PortalLinks,
    {
      scope: 'tenant' | 'plugin'
      role: TenantRole
      theme: 'light' | 'dark' | null
      locale: 'en' | 'de' | null
    }
  >
  recoveries: Narrow<
    Raw.Recoveries,
    {
      status: DefaultTo<JobStatus>
      delivery_status: ReplayedStatus | null
      scanned: DefaultTo<number>
      queued: DefaultTo<number>
      skipped: DefaultTo<number>
      lease_token: DefaultTo<number>
    }
  >
  replays: Narrow<
    Raw.Replays,
    {
      status: DefaultTo<JobStatus>
      delivery_status: ReplayedStatus | null
      scanned: DefaultTo<number>
      queued: DefaultTo<number>
      skipped: DefaultTo<number>
      lease_token: DefaultTo<number>
    }
  >
  seen_event_types: Narrow<Raw.SeenEventTypes, { sample: Json<unknown> }>
  sessions: Narrow<Raw.Sessions, { kind: SessionKind; transport: SessionTransport; role: TenantRole | null }>
  set_aside_events: Raw.SetAsideEvents
  shop_variables: Narrow<Raw.ShopVariables, { value: Json<unknown> }>
  stats_rollups: Raw.StatsRollups
  tenants: Narrow<
    Raw.Tenants,
    {
      subscriptions_version: DefaultTo<number>
      actions_version: DefaultTo<number>
      calendar: Json<StoredCalendar> | null
    }
  >
}

/** The part of a shop's calendar that was set (src/lib/calendar.ts). */
interface StoredCalendar {
  time_zone?: string
  quiet_hours?: { from: string; to: string } | null
  business_days?: { weekdays: ('MON' | 'TUE' | 'WED' | 'THU' | 'FRI' | 'SAT' | 'SUN')[]; holidays: string[] }
}

/**
 * The parts of a request to a plugin that do not follow from its event: the URL, and the names of the plugin's own
 * headers.
 */
export interface SentRequest {
  url: string
  headers: string[]
  /** The SHA-256 of the client certificate; absent: none. */
  client_certificate?: string
}

/** The way in which requests with a connection say who they are; `webhook_secret`: what comes is verified by it. */
export type ConnectionKind =
  'header' | 'basic' | 'bearer' | 'query' | 'oauth2_client_credentials' | 'webhook_secret'
export type PluginStatus = 'active' | 'paused' | 'disabled'
/** Of durable jobs. */
export type JobStatus = 'queued' | 'running' | 'completed' | 'cancelled' | 'failed'

export type DeliveryStatus = 'pending' | 'sent' | 'retry' | 'failed'
/** The statuses that replays choose by. `undelivered`: neither sent nor waiting. */
export type ReplayedStatus = DeliveryStatus | 'undelivered'
export type BreakerState = 'closed' | 'open' | 'half_open'
export type HoldReason = 'breaker_open' | 'retry_after'
export type SkipReason = 'skipped' | 'plugin_deleted'
/** The kind of an attempt's failure: see docs/webhooks.md. */
export type ErrorClass =
  | 'dns_error'
  | 'blocked'
  | 'connect_refused'
  | 'connect_timeout'
  | 'tls_error'
  | 'timeout'
  | 'reset'
  | 'protocol_error'
  | 'response_too_large'
  | 'redirect'
  | 'http_4xx'
  | 'http_5xx'
export type EventSource = 'api' | 'platform' | 'cloudevents' | 'plugin' | 'system'
/** The reason why a record has no body any more: its days were over, or somebody asked for it. */
export type BodyGone = 'expired' | 'erased'
export type ErasurePhase = 'events' | 'executions' | 'log' | 'invocations' | 'messages'
export type FlowStatus = 'draft' | 'active' | 'inactive' | 'paused'
export type ExecutionStatus =
  'queued' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled' | 'timed_out' | 'skipped'
export type StepStatus = 'succeeded' | 'failed' | 'skipped' | 'simulated'
export type TriggerKind = 'event' | 'schedule' | 'manual' | 'webhook'
export type InvocationStatus = 'running' | 'accepted' | 'succeeded' | 'failed'
export type KeyKind = 'platform' | 'tenant' | 'plugin'
export type TenantRole = 'admin' | 'editor' | 'viewer'
export type ActorKind = 'open' | KeyKind | 'portal' | 'operator' | 'system'
export type SessionKind = KeyKind | 'portal'
export type SessionTransport = 'cookie' | 'bearer'

/** One entry of a plugin's `events`: a pattern and, if it has one, the payload filter (lib/condition/index.ts). */
export interface StoredSubscription {
  event: string
  filter: unknown
  /** The part of the event that is sent: at most one of these. */
  include?: string[]
  exclude?: string[]
  payload?: 'thin'
  /** Of what waits of one key only the newest is sent. */
  coalesce?: { key?: string; window_seconds: number }
}

type Narrow<T, N> = Omit<T, keyof N> & N
type DefaultTo<T> = ColumnType<T, T | undefined, T>
/** Written as JSON text: node-postgres would turn a bare array into a Postgres array. */
type Json<T> = ColumnType<T, string | undefined, string>
