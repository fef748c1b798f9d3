import type { Call, CallResult } from '../steps/call.ts'
import type { HeldBack } from './held-back.ts'
import type { Journal } from './journal.ts'
import type { Waits } from '../wait/waits.ts'

/** Where a run writes what it did. */
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

/** How a run asks others. */
export interface RunCalls {
  /**
   * @param eventDepth of the event that started the execution
   * @param mayHaveRun an earlier attempt may have got through
   */
  send(call: Call, eventDepth: number, mayHaveRun: boolean): Promise<CallResult>
  /** Looks after a call that was accepted. Null: it is not completed yet. */
  completed(call: Call): Promise<CallResult | null>
}

/** How a run waits for events. */
export type RunWaits = Pick<Waits, 'register'>

/** How a run asks whether it is to wait behind others. */
export type RunHeld = Pick<HeldBack, 'mayCall' | 'away' | 'passed'>
