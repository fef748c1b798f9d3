import type { Signals } from '#infra/signals.ts'
import { END } from '#lib/flow/types.ts'
import type { ClaimedExecution } from './execution-repository.ts'
import { threadsOf } from './state.ts'

/** A step that an execution is at, told while it is under way. */
export interface StepStart {
  executionId: string
  stepId: string
  /** In a loop's body the item's index, else empty. */
  iteration: string
  /** The attempt that is under way, from 1. */
  attempt: number
  /** The time at which the execution came to the step, in epoch milliseconds of the database's clock. */
  sinceMs: number
}

/** Time between two looks at where those stand that somebody follows: what is over sooner is told by its result alone. */
const LOOK_MS = 200
/** Whoever follows an execution is believed to do so for so long; they say it again sooner. */
const FOLLOWED_MS = 40_000
/** One look tells so much, and the next one goes on with the others: together with their ids it fits into one signal. */
const TOLD_MAX = 40
/** Of those who follow, the ones that are believed: beyond it they see what is done, and not what is begun. */
const FOLLOWED_MAX = 2_000

/**
 * Tells those who follow an execution which steps it is at. The engine is not asked to say so: the executions in hand
 * are looked at by the clock, and only while somebody follows one, so that a step costs the same either way. Nothing is
 * read or written for it.
 */
export class StepWatch {
  readonly #signals: Pick<Signals, 'publish'>
  readonly #held: () => Iterable<ClaimedExecution>
  /** Until when they are followed, on the clock of `performance.now()`. Who was told last is last. */
  readonly #followed = new Map<string, number>()
  /** The steps that were told of an execution, by iteration. */
  readonly #told = new Map<string, Map<string, string>>()
  #timer: NodeJS.Timeout | null = null
  #isStopped = false

  constructor(signals: Pick<Signals, 'publish'>, held: () => Iterable<ClaimedExecution>) {
    this.#signals = signals
    this.#held = held
  }

  /** Somebody follows these, or still does: they are told anew, as they may have come later than others. */
  follow(executionIds: readonly string[]): void {
    if (this.#isStopped || executionIds.length === 0) return
    const until = performance.now() + FOLLOWED_MS
    for (const id of executionIds) {
      this.#told.delete(id)
      if (this.#followed.has(id) || this.#followed.size < FOLLOWED_MAX) this.#followed.set(id, until)
    }
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS)
    this.#look()
  }

  /** Tolerates twice. */
  stop(): void {
    this.#isStopped = true
    this.#rest()
  }

  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#followed.clear()
    this.#told.clear()
  }

  #look(): void {
    this.#forget()
    if (this.#followed.size === 0) return
    const held = new Map<string, ClaimedExecution>()
    for (const claim of this.#held()) if (this.#followed.has(claim.id)) held.set(claim.id, claim)
    for (const id of this.#told.keys()) if (!held.has(id)) this.#told.delete(id)
    const names: string[] = []
    for (const [id, until] of [...this.#followed]) {
      const claim = held.get(id)
      if (claim === undefined) continue
      if (names.length >= TOLD_MAX) break
      const news = this.#newsOf(claim)
      if (news.length === 0) continue
      names.push(...news)
      this.#followed.delete(id)
      this.#followed.set(id, until)
    }
    if (names.length > 0) this.#signals.publish('step_started', names)
  }

  #forget(): void {
    const now = performance.now()
    for (const [id, until] of this.#followed) {
      if (until > now) continue
      this.#followed.delete(id)
      this.#told.delete(id)
    }
    if (this.#followed.size === 0) this.#rest()
  }

  #newsOf(claim: ClaimedExecution): string[] {
    const told = this.#told.get(claim.id)
    const at = new Map(startsOf(claim).map((start) => [start.iteration, nameOf(start)]))
    this.#told.set(claim.id, at)
    return [...at].flatMap(([iteration, name]) => (told?.get(iteration) === name ? [] : [name]))
  }
}

/** The steps that are under way: what waits is none, and a loop is where its items are. */
function startsOf({ id, state, started_at_ms }: ClaimedExecution): StepStart[] {
  return threadsOf(state).flatMap(({ iteration, step, waiting, failures, since }) => {
    if (waiting !== null || step === END) return []
    const sinceMs = since ?? started_at_ms
    return [{ executionId: id, stepId: step, iteration, attempt: failures + 1, sinceMs }]
  })
}

/** As signals carry it: they know names only. */
function nameOf({ executionId, stepId, iteration, attempt, sinceMs }: StepStart): string {
  return [executionId, stepId, iteration, attempt, sinceMs].join(' ')
}

/** Reads what `step_started` names. */
export function readStepStart(name: string): StepStart {
  const [executionId = '', stepId = '', iteration = '', attempt, sinceMs] = name.split(' ')
  return { executionId, stepId, iteration, attempt: Number(attempt), sinceMs: Number(sinceMs) }
}
