import type { components } from '../../../api/schema.d.ts'

type Schema = components['schemas']

/** What came of one past event. */
export interface Tried {
  event: Pick<Schema['Event'], 'id' | 'event' | 'source_id' | 'received_at'>
  test: Pick<Schema['FlowTest'], 'start' | 'end' | 'steps' | 'limit'>
}

export type Limit = NonNullable<Schema['FlowTest']['limit']>

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

export function summaryOf(tried: readonly Tried[]): Summary {
  const [started, others] = [
    tried.filter(({ test }) => test.start.would_start),
    tried.filter(({ test }) => !test.start.would_start),
  ]
  const acts = started.flatMap(({ test }) =>
    test.steps.flatMap(({ step_id: id, would }) => (would === null || would.kind === 'wait' ? [] : id)),
  )
  return {
    all: tried.length,
    started: started.length,
    reasons: counted(others.map(({ test }) => test.start.reason ?? '')),
    ends: counted(started.flatMap(({ test }) => test.end?.status ?? [])),
    limits: counted(started.flatMap(({ test }) => test.limit ?? [])),
    done: counted(acts),
  }
}

function counted<Name extends string>(names: readonly Name[]): [Name, number][] {
  const groups = [...Map.groupBy(names, (name) => name)]
  return groups
    .map(([name, { length }]): [Name, number] => [name, length])
    .sort(([, one], [, other]) => other - one)
}

/** The waits of a test that nothing was given for: their results hold only if no such event came. */
export function assumedWaits({ steps }: Pick<Schema['FlowTest'], 'steps'>): string[] {
  const ids = steps.flatMap(({ step_id: id, would, output }) => {
    const hasCome = (output as { event?: unknown } | null)?.event !== undefined
    return would?.kind === 'wait' && (would.events?.length ?? 0) > 0 && !hasCome ? id : []
  })
  return [...new Set(ids)]
}

/** So many at once keep a browser's connections free for the rest of the page. */
const AT_ONCE = 4

/**
 * Tries one event after another, some at a time.
 *
 * @param onend comes after each one, in the order of the events
 * @throws what `test` throws first; no other one begins then, and those that are under way end by themselves
 */
export async function tryAll<Event, Result>(
  events: readonly Event[],
  test: (event: Event) => Promise<Result>,
  onend: (results: readonly Result[]) => void,
  signal: AbortSignal,
): Promise<void> {
  const results = new Map<number, Result>()
  const queue = events.entries()
  let hasFailed = false
  const isStopped = (): boolean => hasFailed || signal.aborted
  const worker = async (): Promise<void> => {
    for (const [index, event] of queue) {
      if (isStopped()) return
      try {
        results.set(index, await test(event))
      } catch (error) {
        hasFailed = true
        throw error
      }
      if (isStopped()) return
      onend([...results].sort(([one], [other]) => one - other).map(([, result]) => result))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}
