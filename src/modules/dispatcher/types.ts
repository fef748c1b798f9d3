import type { RegistryAction } from '#modules/registry/index.ts'
import type { DeliveryTarget } from '#modules/webhook-delivery/index.ts'

/** One action that is asked for. */
export interface ActionRequest {
  flowExecutionId: string
  /** Unique within the execution: what makes doing it again safe. */
  eventKey: string
  actionType: string
  /** UUID, slug or `platform`; null: whose the action's name is. */
  pluginRef: string | null
  payload: Record<string, unknown>
  /** Milliseconds for each attempt; null: the action's own, or the service's. */
  timeoutMs: number | null
  /** Further attempts after the first, where repeating is safe; null: the default. */
  maxRetries: number | null
  /** Automations between this action and what a person or system did first; told to whoever is called. */
  causationDepth: number
  /** The event that led to it; null: none did. Told, too. */
  causationId: string | null
  /** Of a flow's action: told to the plugin. */
  context?: ActionContext | null
  /** The key that asks for it; null or left out: none, or a flow. */
  keyId?: string | null
  /** The plugin that dispatches it by its own key; null or left out: none does. */
  dispatchedBy?: string | null
}

/** The place of a flow's action, and what started the flow: as plugins get it, beside the payload. */
export interface ActionContext {
  flow_id: string
  flow_version: number
  step_id: string
  /** The item's number in a loop, from 0; null: outside of loops. */
  iteration: number | null
  /** After an error port and in error handlers: what went wrong. */
  error: { step_id: string; code: string; message: string } | null
  trigger: {
    /** Type and id of the event; null: no event started the flow. */
    event: string | null
    event_id: string | null
    /** The flow's `trigger`; null where it is too large. */
    data: unknown
    data_omitted: boolean
  }
}

/** The action of a flow's step: its caller has the execution under a lease, and writes what became of it. */
export interface StepActionRequest extends ActionRequest {
  /** An earlier attempt may have got through: what is known of it is looked up first. */
  mayHaveRun: boolean
}

/** The result of an action. */
export interface ActionResult {
  actionType: string
  success: boolean
  /** Accepted: the plugin answered 202 and completes it later. */
  status: 'succeeded' | 'failed' | 'accepted'
  data: unknown
  /** The characters of `data` as JSON; left out: they were not counted. */
  dataChars?: number
  error: { code: string; message: string } | null
  responseStatus: number | null
  durationMs: number
  attempts: number
  /** Recorded by an earlier run of the same request, not done now. */
  replayed: boolean
  invocationId: string | null
  /** Of a failure: another try may help, and when the other side asked to wait with it. */
  transient: boolean
  retryAfterMs: number | null
}

/** An action that was resolved and whose payload is good. */
export interface PlannedAction {
  request: ActionRequest
  action: RegistryAction
  idempotencyKey: string
  /** Its plugin, asked for ahead of the call; null: not yet, or used up. */
  target: Promise<DeliveryTarget | 'unreadable' | undefined> | null
}
