import type { EventScope, FlowScope } from '#lib/flow/scope.ts'
import type { EventMatch } from '#lib/flow/types.ts'
import { newId } from '#lib/ids.ts'
import type { RunWaits } from '../run/ports.ts'
import type { Program } from '../run/program.ts'
import type { SimulatedJournal } from './journal.ts'
import type { Mocks } from './mocks.ts'
import type { AwaitedEvent, Mock } from './types.ts'
import { nearMiss } from '../wait/near-miss.ts'
import { matchValues, metKey, waitKey } from '../wait/waits.ts'

/** Ends waits by the events that were given for them, and registers none. */
export function simulatedWaits(mocks: Mocks, journal: SimulatedJournal): RunWaits {
  return {
    register: ({ stepId, iteration, step, program, scope, sinceMs, now }) => {
      const { any, timeout_ms } = step.config
      const keys = any.map((match, index) => waitKey(program, match, index, scope, now))
      const given = mocks.find(stepId, iteration, 'event')
      const event = given === undefined ? null : arriving(given, any[0]?.event ?? '', now)
      let untested = ''
      const met =
        event === null
          ? undefined
          : metKey(keys, event, now, (_key, { reason, message }) => {
              // Of what is spelled in another way more is known here.
              if (reason !== 'near_miss') untested = `: ${message}`
            })
      const until = new Date(sinceMs + timeout_ms).toISOString()
      const would = { kind: 'wait' as const, until, events: awaited(program, any, scope, now) }
      if (event !== null && met !== undefined) {
        journal.remark({ stepId, iteration }, { would, note: 'the event was given' })
        return Promise.resolve({ output: { event, alternative: met.alternative } })
      }
      const note =
        event === null ? 'no event was given' : `${NOT_MET}${untested || near(would.events, event)}`
      journal.remark({ stepId, iteration }, { would, note })
      return Promise.resolve('registered')
    },
  }
}

const NOT_MET = 'the event that was given does not meet the wait'

/** An event that misses a wait by how an id is spelled is what one looks for longest. */
function near(events: readonly AwaitedEvent[], event: EventScope): string {
  for (const { event: type, match } of events) {
    const miss = type === event.type ? nearMiss(match, event.data) : null
    if (miss !== null) return `: ${miss}`
  }
  return ''
}

/** @throws {StepError} */
export function awaited(
  program: Program,
  matches: readonly EventMatch[],
  scope: FlowScope,
  now: Date,
): AwaitedEvent[] {
  return matches.map((match) => ({
    event: match.event,
    match: matchValues(program, match, scope, now),
    filtered: match.filter !== null,
  }))
}

function arriving({ type, source, data }: NonNullable<Mock['event']>, first: string, now: Date): EventScope {
  return {
    id: newId(),
    type: type ?? first,
    timestamp: now.toISOString(),
    source: source ?? 'platform',
    data,
  }
}
