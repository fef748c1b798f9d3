import type { Egress } from '#infra/egress/index.ts'
import type { FlowScope } from '#lib/flow/scope.ts'
import type { ActionConfig } from '#lib/flow/types.ts'
import type { ConnectionService } from '#modules/connection/index.ts'
import type { DispatcherService } from '#modules/dispatcher/index.ts'
import type { MessageService } from '#modules/message/index.ts'
import type { Program } from '../run/program.ts'

/** Says how a call to the outside ended. */
export type CallResult =
  | { kind: 'success'; output: unknown }
  /** The plugin will complete it later. */
  | { kind: 'accepted' }
  /** It was not made: the other side takes no more for now. */
  | { kind: 'busy'; code: string; message: string; retryAfterMs: number }
  | {
      kind: 'failure'
      code: string
      message: string
      /** It may pass by itself. */
      transient: boolean
      /** There was an answer. */
      answered: boolean
      /** It is about the other side, whatever it was asked: others would meet the same. */
      away: boolean
      retryAfterMs: number | null
    }

export interface CallContext {
  dispatcher: DispatcherService
  egress: Egress
  connections: Pick<ConnectionService, 'authorise'>
  messages: MessageService
}

/** Names a call: repeated under the same name it is done once. */
export interface CallName {
  tenantId: string
  executionId: string
  stepId: string
  iteration: string
}

/** Returns the key that a call has among those of its execution: its step, and in a loop its item. */
export function eventKey({ stepId, iteration }: CallName): string {
  return iteration === '' ? stepId : `${stepId}:${iteration}`
}

/** A call that is to be filled in. */
export interface CallRequest<Step> {
  program: Program
  step: Step
  name: CallName
  scope: FlowScope
  /** The `now` of its templates: the same for every repetition. */
  asOf: Date
}

/** Says what a call does to the outside, for those who only want to know. */
export type CallIntent =
  | { kind: 'action'; action_type: string; plugin_id: string }
  | { kind: 'http'; method: string; url: string }
  /** `asks_ai`: in truth an AI would be asked for the text; here it is the template's. */
  | {
      kind: 'message'
      channel: string
      to: string | null
      asks_ai: boolean
      action_type: string
      plugin_id: string
    }

/** Gives an output that an action might give, and says where it is from. */
export type SampleAction = (action: ActionConfig) => { output: unknown; note: string }

/** Says what a call would send and give, of which nobody is asked. */
export interface Rehearsal {
  /** Left out: the call's own. */
  input?: unknown
  output: unknown
  note: string
  /** An output that is given in its place stands in for the members that it has. */
  isMergeable?: true
}

/** A step's call, filled in: what it sends stands in the step's log. */
export interface Call {
  name: CallName
  /** The side that it asks, and for what: calls to the same target fail together when the other side is away. */
  target: string
  input: unknown
  intent: CallIntent
  /**
   * @param eventDepth of the event that started the execution
   * @param mayHaveRun an earlier attempt may have got through
   */
  send(ctx: CallContext, eventDepth: number, mayHaveRun: boolean): Promise<CallResult>
  /** Turns a result that was completed later into that of the step. Left out: it is that. */
  conclude?(ctx: CallContext, result: CallResult): Promise<CallResult>
  /** Says what it would send and give, without asking anybody. @throws {StepError} */
  rehearse(sample: SampleAction): Rehearsal
}
