import type { ExecutionStatus, StepStatus, TriggerKind } from '#db/schema.ts'
import type { EventScope, HookRequest } from '#lib/flow/scope.ts'
import type { CanonicalFlow } from '#lib/flow/types.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import type { ExecutionError } from '../run/state.ts'
import type { CallIntent } from '../steps/call.ts'

/** Stands in for what the outside would say to a step. */
export interface Mock {
  /** The output of the step: of a request `{ status, body }`. */
  output?: unknown
  /**
   * The call fails: `times` attempts with what is given beside it, left out: all of them. `transient`: it may pass by
   * itself; left out: as its code says.
   */
  error?: { code: string; message: string; times?: number; transient?: boolean }
  /** Comes for a wait; one that does not meet it lets it time out. `type`: that of its first alternative. */
  event?: { type?: string; source?: string; data: unknown }
}

/** Those of a list stand each for an item of the step's loop, in order; null: for this one none. */
export type GivenMock = Mock | readonly (Mock | null)[]

export interface SimulationRequest {
  tenantId: string
  /** Null: the flow is not stored, so that no execution of it can be under way. */
  flowId: string | null
  flowName: string
  version: number
  flow: CanonicalFlow
  trigger: {
    kind: TriggerKind
    /** The only trigger that counts; null: any of its kind. */
    id: string | null
    data: unknown
    event: EventScope | null
    /** Of a webhook: comes with the data. */
    request?: HookRequest
    causationDepth: number
  }
  /** Takes the steps also when the flow would not start. */
  startAnyway: boolean
  /** Ends once this step has run; in a loop, for the first time. */
  until?: string
  /** Its start. Waits and delays move on from here without any time passing. */
  now: Date
  /** By step id, or `<step id>:<index>` for one item of a loop. */
  mocks: Readonly<Record<string, GivenMock>>
  /** Of an action: what an output without a mock is made up from. */
  outputSchemaOf: (actionType: string, pluginId: string) => SafeSchema | null
}

/** An event to wait for, filled in. */
export interface AwaitedEvent {
  event: string
  match: Record<string, unknown>
  filtered: boolean
}

/** Says what a step would do to the outside, or wait for. */
export type Would = CallIntent | { kind: 'wait'; until: string; events: AwaitedEvent[] }

const KINDS: Record<Would['kind'], true> = { action: true, http: true, message: true, wait: true }
export const WOULD_KINDS = Object.keys(KINDS) as Would['kind'][]

export interface SimulatedStep {
  number: number
  step_id: string
  iteration: string
  type: string
  name: string | null
  status: Extract<StepStatus, 'simulated' | 'failed' | 'skipped'>
  port: string | null
  input: unknown
  output: unknown
  error: { code: string; message: string } | null
  /** Of a call: more than one if it was retried. */
  attempts: number
  note: string | null
  would: Would | null
  /** By the simulation's clock. */
  started_at: string
  finished_at: string
}

export interface StartReport {
  would_start: boolean
  /** Why not. */
  reason: string | null
  message: string | null
  /** The trigger that the data met. */
  trigger: string | null
  /** Enrolment key. */
  key: string | null
  /** Executions under way that would be cancelled to make way for it. */
  would_restart: string[]
  /** Events that would cancel it while it waits. */
  cancel_on: AwaitedEvent[]
  /** The event has started the flow before: in truth it would not do so again. */
  already_started: boolean
}

export interface SimulatedEnd {
  status: ExecutionStatus
  reason: string | null
  handled: boolean
  error: ExecutionError | null
  finished_at: string
}

export interface Simulation {
  start: StartReport
  /** Null: it would not start, a limit was met, or it came as far as it was to go. */
  end: SimulatedEnd | null
  steps: SimulatedStep[]
  variables: Record<string, unknown>
  /** The limit that ended it: too many steps, too much time, too much text. */
  limit: 'steps' | 'time' | 'size' | null
  /** Tells whether the step at which it was to end has run; null: it was to go on. */
  until_reached: boolean | null
  /** Mocks that no step asked for. */
  unused_mocks: string[]
}
