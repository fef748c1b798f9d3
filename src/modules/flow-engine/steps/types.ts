import type { Egress } from '#infra/egress/index.ts'
import type { ActionStep, HttpStep, MessageStep } from '#lib/flow/types.ts'
import type { ConnectionService } from '#modules/connection/index.ts'
import type { DispatcherService } from '#modules/dispatcher/index.ts'
import type { MessageService } from '#modules/message/index.ts'

/** How a call to the outside ended. */
export type CallResult =
  | { kind: 'success'; output: unknown }
  /** The plugin will complete it later. */
  | { kind: 'accepted' }
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

/** Which call it is: repeated under the same name it is done once. */
export interface CallName {
  tenantId: string
  executionId: string
  stepId: string
  iteration: string
}

export type CallStep = ActionStep | HttpStep | MessageStep

/** A step's call, filled in: what it sends stands in the step's log. */
export interface Call {
  name: CallName
  step: CallStep
  /** Whom it asks for what: calls to the same target fail together when the other side is away. */
  target: string
  input: unknown
  /**
   * @param eventDepth of the event that started the execution
   * @param mayHaveRun an earlier attempt may have got through
   */
  send(ctx: CallContext, eventDepth: number, mayHaveRun: boolean): Promise<CallResult>
  /** What a result that was completed later is to the step. Left out: as it is. */
  conclude?(ctx: CallContext, result: CallResult): Promise<CallResult>
  /**
   * What it would send and give if the action gave `result`, without asking anybody. Left out: its input, and `result`.
   * @throws {StepError}
   */
  rehearse?(result: unknown): { input: unknown; output: unknown }
}
