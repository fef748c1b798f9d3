/** The values that templates and conditions start from. The engine builds it, the compiler knows its names. */
export interface FlowScope {
  /** The event's data, the manual input, the webhook's body, or `{ scheduled_at }`. */
  trigger: unknown
  /** Read where `trigger` has no member of the name itself: of a webhook. */
  beside?: { trigger: HookRequest & { body: unknown } }
  /** Of steps that succeeded, by id. */
  steps: Record<string, { output: unknown }>
  variables: Record<string, unknown>
  /** In the body of a `for_each`. */
  item?: unknown
  event: EventScope | null
  execution: ExecutionScope
  tenant: { id: string; time_zone: string }
  /** The zone in which times are read that do not name one, where not all of the scope is there. */
  zone?: string
}

/** The headers and the query that came with a webhook's body. */
export interface HookRequest {
  /** Lower-case names. */
  headers: Record<string, string>
  query: Record<string, string | string[]>
}

/** Returns what a webhook's `trigger` has beside the members of its body. */
export function besideTrigger(data: unknown, request: HookRequest | undefined): Pick<FlowScope, 'beside'> {
  return request === undefined ? {} : { beside: { trigger: { body: data, ...request } } }
}

/** The event that started the execution; in the filter of a wait, the one that arrived. */
export interface EventScope {
  id: string
  type: string
  timestamp: string
  source: string
  data: unknown
}

export interface ExecutionScope {
  id: string
  flow_id: string
  flow_name: string
  version: number
  started_at: string
  /** After an error port and in error handlers: the error. */
  error: { step_id: string; code: string; message: string } | null
}

/** Members that `event`, `execution` and `tenant` have. */
export const SCOPE_FIELDS: Readonly<Record<'event' | 'execution' | 'tenant', readonly string[]>> = {
  event: ['id', 'type', 'timestamp', 'source', 'data'],
  execution: ['id', 'flow_id', 'flow_name', 'version', 'started_at', 'error'],
  tenant: ['id', 'time_zone'],
}
