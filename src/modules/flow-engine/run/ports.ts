import type { Call, CallResult } from '../steps/call.ts'
import type { HeldBack } from './held-back.ts'
import type { Journal } from './journal.ts'
import type { Waits } from '../wait/waits.ts'

/** Takes what a run did. */
export type RunJournal = Pick<
  Journal,
  | 'end'
  | 'isHalted'
  | 'isFresh'
  | 'beforeCall'
  | 'record'
  | 'touch'
  | 'closeWait'
  | 'settle'
  | 'boundary'
  | 'close'
>

/** Makes the calls of a run. */
export interface RunCalls {
  /**
   * @param eventDepth of the event that started the execution
   * @param mayHaveRun an earlier attempt may have got through
   */
  send(call: Call, eventDepth: number, mayHaveRun: boolean): Promise<CallResult>
  /** Looks after a call that was accepted. Null: it is not completed yet. */
  completed(call: Call): Promise<CallResult | null>
}

/** Registers a run's waits for events. */
export type RunWaits = Pick<Waits, 'register'>

/** Says whether a run is to wait behind others. */
export type RunHeld = Pick<HeldBack, 'mayCall' | 'failed' | 'answered' | 'away' | 'passed' | 'left'>
