import { createHash } from 'node:crypto'
import { boundedCache } from '#lib/bounded-cache.ts'
import { identityText } from '#lib/condition/identity.ts'
import { readPath } from '#lib/json/path.ts'
import type { EventScope } from '#lib/flow/scope.ts'
import { CATALOGUE, ENTITIES } from '#modules/event/index.ts'

/** The slowest pace, from start to start, that is looked into. */
const PACE_MS = 3_000
/** Starts at that pace, in one process, after which all processes look at it together. */
const NOTICED_AFTER = 10
/** One process of several sees a part of the starts. */
const NOTICED_WITHIN_MS = 10 * NOTICED_AFTER * PACE_MS
/** Starts before the first trial, and between one and the next. */
const STARTS_BEFORE_TRIAL = 50
const STARTS_BETWEEN_TRIALS = 20
/** Trials that have to come out alike: by chance, events that nobody causes are silent just then once or twice. */
const TRIALS = 3
/** A trial takes so many times what lies between two starts, and at least so long: by then what is under way has ended. */
const TRIAL_PACES = 12
const TRIAL_MIN_MS = 6_000
/** The part of a trial in which events may come of what was under way before it. */
const UNDER_WAY = 1 / 2
/** What was held starts, calls, and causes its event in so long behind the trial's end. */
const ANSWER_MS = 5_000
/** Whoever is found not to be its own cause is not tried again for so long, and from time to time for longer. */
const CLEARED_MIN_MS = 3_600_000
const CLEARED_MAX_MS = 24 * 3_600_000
/** Starts from which the pace is known. */
const PACE_STARTS = 5
const SUSPECTS_MAX = 32
const REMEMBERED_MAX = 50_000

/** One flow and one thing for which it starts again and again. Times are those at which events came, in ms. */
export interface Suspect {
  /** Starts since then. */
  since: number
  count: number
  last: number
  /** Trials after which it was silent. */
  silences: number
  /** The trial that is under way. */
  from?: number
  until?: number
  /** Events that came though nothing was under way that could cause them. */
  heard?: number
  /** It is not its own cause, which holds until then. */
  clearedUntil?: number
  clearedMs?: number
}

export type Suspects = Record<string, Suspect>

/** Starts that one process has seen, of those that nobody suspects yet. */
export class SeenStarts {
  readonly #starts = boundedCache<{ since: number; count: number }>(REMEMBERED_MAX)

  /** Counts a start. @returns whether there were many of this name */
  note(name: string, cameAtMs: number): boolean {
    const known = this.#starts.get(name)
    if (known === undefined || cameAtMs - known.since > NOTICED_WITHIN_MS) {
      this.#starts.set(name, { since: cameAtMs, count: 1 })
      return false
    }
    known.count++
    if (known.count < NOTICED_AFTER) return false
    this.#starts.delete(name)
    return true
  }
}

/**
 * Notices flows that trigger themselves where nobody hands causation on. One that starts for the same customer or
 * order again and again may as well belong to a busy shop, so it is tried: its next starts for that thing wait for
 * some seconds. If its events stop meanwhile, and go on once it runs, they come of it; events that others send come all
 * the same. What was noted is kept with the tenant's cursor, so that all who match its events see one and the same.
 */
export class Repeats {
  readonly #seen: SeenStarts
  readonly #suspects: Map<string, Suspect>
  #isChanged = false

  constructor(seen: SeenStarts, suspects: Suspects) {
    this.#seen = seen
    this.#suspects = new Map(Object.entries(suspects))
  }

  get hasSuspects(): boolean {
    return this.#suspects.size > 0
  }

  /** Returns what is to be kept; undefined: nothing has changed. */
  get changed(): Suspects | undefined {
    return this.#isChanged ? Object.fromEntries(this.#suspects) : undefined
  }

  /**
   * Notes that an event is about to start the flow.
   * @returns how long the start waits, or that the flow is its own cause
   */
  meet(name: string, cameAtMs: number): { waitMs: number; isOwnCause: boolean } {
    const suspect = this.#suspects.get(name)
    const { from, until } = suspect ?? {}
    if (suspect === undefined || from === undefined || until === undefined)
      return { waitMs: 0, isOwnCause: false }
    this.#isChanged = true
    if (cameAtMs <= until) {
      if (cameAtMs >= from + (until - from) * UNDER_WAY) suspect.heard = (suspect.heard ?? 0) + 1
      return { waitMs: until - Math.max(cameAtMs, from), isOwnCause: false }
    }
    return { waitMs: 0, isOwnCause: this.#endTrial(name, suspect, cameAtMs, until + (until - from)) }
  }

  /** Counts what has started, one at a time. */
  start(name: string, cameAtMs: number): void {
    const suspect = this.#suspects.get(name)
    if (suspect === undefined) {
      if (this.#seen.note(name, cameAtMs)) this.#suspect(name, cameAtMs)
      return
    }
    if (suspect.until !== undefined || cameAtMs < (suspect.clearedUntil ?? -Infinity)) return
    this.#isChanged = true
    const between = (cameAtMs - suspect.since) / suspect.count
    if (cameAtMs - suspect.since > PACE_MS * Math.max(suspect.count, PACE_STARTS)) {
      Object.assign(suspect, { since: cameAtMs, count: 1, last: cameAtMs, silences: 0 })
      return
    }
    suspect.count++
    suspect.last = cameAtMs
    if (suspect.count < (suspect.silences === 0 ? STARTS_BEFORE_TRIAL : STARTS_BETWEEN_TRIALS)) return
    suspect.from = cameAtMs
    suspect.until = cameAtMs + Math.max(TRIAL_MIN_MS, Math.ceil(TRIAL_PACES * between))
    suspect.heard = 0
  }

  /** @returns whether it is its own cause */
  #endTrial(name: string, suspect: Suspect, cameAtMs: number, answeredMs: number): boolean {
    const { heard = 0 } = suspect
    const isAnswer = heard === 0 && cameAtMs <= answeredMs + ANSWER_MS
    const silences = isAnswer ? suspect.silences + 1 : 0
    if (silences >= TRIALS) {
      this.#suspects.delete(name)
      return true
    }
    const fresh: Suspect = { since: cameAtMs, count: 1, last: cameAtMs, silences }
    if (heard > 0) {
      const clearedMs = Math.min(CLEARED_MAX_MS, 2 * (suspect.clearedMs ?? CLEARED_MIN_MS / 2))
      Object.assign(fresh, { clearedUntil: cameAtMs + clearedMs, clearedMs })
    }
    this.#suspects.set(name, fresh)
    return false
  }

  #suspect(name: string, cameAtMs: number): void {
    this.#isChanged = true
    this.#suspects.set(name, { since: cameAtMs, count: 1, last: cameAtMs, silences: 0 })
    if (this.#suspects.size <= SUSPECTS_MAX) return
    const [oldest] = [...this.#suspects].sort(([, a], [, b]) => a.last - b.last)
    if (oldest !== undefined) this.#suspects.delete(oldest[0])
  }
}

/** A name for a flow and what one of its starts is about, that tells neither. Null: what it is about is not known. */
export function repeatName(
  flow: { id: string; version: number },
  event: EventScope,
  key: string | null,
): string | null {
  const thing = key ?? thingOf(event)
  if (thing === null) return null
  return createHash('sha256').update(`${flow.id} ${flow.version} ${thing}`).digest('base64url').slice(0, 22)
}

/** The thing that the event is about: what its type declares, or what others name such things by. */
function thingOf({ type, data }: EventScope): string | null {
  const declared = CATALOGUE.get(type)?.entity
  for (const { kind, path } of declared === undefined ? THINGS : [declared]) {
    const text = identityText(readPath(data, [path]))
    if (text !== null) return `${kind} ${text}`
  }
  return null
}

/** From what lasts longest: an order's events are those of a customer. */
const THINGS = [
  ENTITIES.customer,
  ENTITIES.lead,
  ENTITIES.booking,
  ENTITIES.order,
  ENTITIES.product,
  { kind: 'thing', path: 'id' },
]

/** Actions of the platform of which no event of a thing comes. */
export const HARMLESS_ACTIONS: ReadonlySet<string> = new Set([
  'send_email',
  'send_sms',
  'create_notification',
  'create_task',
])
