import type { components } from '../../../api/schema.d.ts'

type Schema = components['schemas']

export type EventOutcome = Schema['EventsTest']['results'][number]

/** What came of one past event. */
export interface Tried {
  event: Pick<Schema['Event'], 'id' | 'event' | 'source_id' | 'received_at'>
  outcome: EventOutcome
}

export type Limit = NonNullable<EventOutcome['limit']>

export interface Summary {
  all: number
  started: number
  /** Why the others would not have started it, the most frequent first. */
  reasons: [reason: string, count: number][]
  /** How it would have ended, by status. */
  ends: [status: string, count: number][]
  /** The limits that ended the test before the flow's end. */
  limits: [limit: Limit, count: number][]
  /** By step, how often it would have done something outside: called, sent, asked. Waits are none of that. */
  done: [step: string, count: number][]
}

/** Why an event that is no longer there has started nothing. */
export const GONE = 'event_gone'

export function summaryOf(tried: readonly Tried[]): Summary {
  const [started, others] = [
    tried.filter(({ outcome }) => outcome.start?.would_start === true),
    tried.filter(({ outcome }) => outcome.start?.would_start !== true),
  ]
  const acts = started.flatMap(({ outcome }) => outcome.done.filter(({ kind }) => kind !== 'wait'))
  return {
    all: tried.length,
    started: started.length,
    reasons: counted(others.map(({ outcome }) => [reasonOf(outcome), 1])),
    ends: counted(started.flatMap(({ outcome: { end } }) => (end === null ? [] : [[end.status, 1]]))),
    limits: counted(started.flatMap(({ outcome: { limit } }) => (limit === null ? [] : [[limit, 1]]))),
    done: counted(acts.map(({ step_id: step, count }) => [step, count])),
  }
}

/** Why an event would not have started the flow, as a code. */
export function reasonOf({ start }: EventOutcome): string {
  return start === null ? GONE : (start.reason ?? '')
}

/**
 * The waits for events that were come to: what followed holds only if no such event came.
 *
 * @param isAssumed tells a step that waits for an event, and is given none
 */
export function assumedWaits({ start, done }: EventOutcome, isAssumed: (step: string) => boolean): string[] {
  if (start?.would_start !== true) return []
  return done.flatMap(({ step_id: id, kind }) => (kind === 'wait' && isAssumed(id) ? id : []))
}

function counted<Name extends string>(counts: readonly [Name, number][]): [Name, number][] {
  const sums = new Map<Name, number>()
  for (const [name, count] of counts) sums.set(name, (sums.get(name) ?? 0) + count)
  return [...sums].sort(([, one], [, other]) => other - one)
}

/**
 * Tries all events. The service answers with as many as it gets through in its time, and is asked for the rest again.
 *
 * @param onend comes after each answer, with all results so far, in the order of the events
 */
export async function tryAll(
  ids: readonly string[],
  test: (ids: readonly string[]) => Promise<readonly EventOutcome[]>,
  onend: (results: readonly EventOutcome[]) => void,
  signal: AbortSignal,
): Promise<void> {
  const results: EventOutcome[] = []
  const isStopped = (): boolean => signal.aborted
  while (results.length < ids.length && !isStopped()) {
    const some = await test(ids.slice(results.length))
    if (isStopped() || some.length === 0) return
    results.push(...some)
    onend([...results])
  }
}
