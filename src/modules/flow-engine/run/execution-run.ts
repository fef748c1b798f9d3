import { loopShare } from '#lib/async/loop-share.ts'
import { END } from '#lib/flow/types.ts'
import { StepError } from './evaluate.ts'
import { Frame, type FrameOptions } from './frame.ts'
import { Ended, type RunEnd } from './journal.ts'
import { nextDueAt, type Thread, threadsOf } from './state.ts'
import { endLoopItem } from '../steps/for-each.ts'
import { doStep } from '../steps/index.ts'

interface ExecutionRunOptions extends FrameOptions {
  /** Tells whether the execution is given back at its next boundary: the engine stops, or has too much in memory. */
  isStopping: () => boolean
}

/**
 * Runs one claimed execution until it ends or has to wait: takes its threads from step to step. What a step does is its
 * type's runner's, in `steps/`.
 *
 * A loop's items are threads of their own. Whatever ends the execution lets the calls of other threads come back first:
 * what was done stands in the log.
 */
export class ExecutionRun {
  readonly #frame: Frame
  readonly #isStopping: () => boolean
  readonly #active = new Map<Thread, Promise<void>>()

  constructor(options: ExecutionRunOptions) {
    this.#frame = new Frame(options)
    this.#isStopping = options.isStopping
  }

  async run(): Promise<RunEnd> {
    const { journal } = this.#frame
    try {
      for (;;) {
        if (this.#isOver()) this.#frame.endWith('timed_out', 'lifetime')
        for (const thread of this.#goingOn()) this.#active.set(thread, this.#take(thread))
        if (this.#active.size === 0) return await this.#settle()
        await Promise.race(this.#active.values())
      }
    } catch (error) {
      await Promise.allSettled(this.#active.values())
      if (error instanceof Ended && journal.end !== null) return journal.end
      throw error
    }
  }

  #goingOn(): Thread[] {
    if (this.#frame.ending !== null || this.#mustYield()) return []
    return threadsOf(this.#frame.state).filter((thread) => !this.#active.has(thread) && this.#isReady(thread))
  }

  #mustYield(): boolean {
    return this.#isStopping() || this.#frame.journal.isHalted
  }

  /** Tells an execution whose lifetime is over: asked before every step, however many of them need no boundary. */
  #isOver(): boolean {
    return this.#frame.clock() >= this.#frame.claim.expires_at_ms
  }

  #isReady(thread: Thread): boolean {
    if (thread.waiting === null) return true
    if (thread.waiting === 'event' && this.#frame.received.has(thread.iteration)) return true
    return thread.due_at !== null && thread.due_at <= this.#frame.clock()
  }

  /** Ends the execution, lets it wait, or gives it back, when nothing is under way. */
  async #settle(): Promise<RunEnd> {
    const { claim, ending, journal, state } = this.#frame
    if (ending !== null) return journal.close(ending)
    const threads = threadsOf(state)
    if (threads.some((thread) => this.#isReady(thread))) {
      if (claim.was_running) state.cut_off = true
      return journal.close({ status: 'queued', reason: journal.isHalted ? 'halted' : null })
    }
    const first = threads.find(({ waiting }) => waiting !== null && waiting !== 'loop')
    const dueAtMs = Math.min(nextDueAt(state) ?? Infinity, claim.expires_at_ms)
    return journal.close({ status: 'waiting', reason: first?.waiting ?? 'event', dueAtMs })
  }

  async #take(thread: Thread): Promise<void> {
    try {
      await this.#advance(thread)
    } finally {
      this.#active.delete(thread)
    }
  }

  /** Takes one thread as far as it goes: to a wait, to its end, or to the end of the execution. */
  async #advance(thread: Thread): Promise<void> {
    const frame = this.#frame
    while (this.#goesOn(thread)) {
      // Steps that ask nobody may be many, and each may test thousands of values: others get their turn in between.
      const turn = loopShare.turn(frame.claim.tenant_id)
      if (turn !== null) {
        await turn
        if (!this.#goesOn(thread)) return
      }
      if (thread.step === END) {
        this.#arrive(thread)
        continue
      }
      const at = { thread, stepId: thread.step, step: frame.program.step(thread.step) }
      try {
        await doStep(frame, at)
      } catch (error) {
        if (!(error instanceof StepError)) throw error
        await frame.fail(at, { code: error.code, message: error.message })
      }
    }
  }

  #goesOn(thread: Thread): boolean {
    return this.#isReady(thread) && this.#frame.isCurrent(thread) && !this.#mustYield() && !this.#isOver()
  }

  /** Ends a thread: an item's is followed by the next item, the main one ends the execution. */
  #arrive(thread: Thread): void {
    const { error, filtered, loop, main } = this.#frame.state
    if (thread !== main && loop !== null) endLoopItem(this.#frame, thread)
    else if (error !== null) this.#frame.endWith('failed', 'handled', true)
    else this.#frame.endWith('completed', filtered ? 'filtered' : 'done')
  }
}
