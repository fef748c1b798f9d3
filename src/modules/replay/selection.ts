import { readJson } from '#db/json.ts'
import type { ReplayedStatus, StoredSubscription } from '#db/schema.ts'
import { evaluateCondition } from '#lib/condition/index.ts'
import { earlierValue } from '#lib/condition/earlier-value.ts'
import type { Verdict } from '#lib/async/fair-budget.ts'
import type { Path } from '#lib/json/path.ts'
import { matchesPattern } from '#lib/event-pattern.ts'
import { StepBudget } from '#lib/step-budget.ts'
import type { OverallStatus } from '#modules/event/index.ts'

/** The events that a replay asks for. */
export interface Criteria {
  since: Date | null
  until: Date
  /** Event pattern. */
  event: string | null
  deliveryStatus: ReplayedStatus | null
}

export interface Candidate {
  event: string
  /** The plugin itself published it. */
  is_own: boolean
  received_at: Date
  in_range: boolean
  has_body: boolean
  /** Null also when it was not asked for. */
  body: string | null
  /** Of the delivery to the plugin; null: there is none. */
  delivery_status: OverallStatus | null
}

/** The settings that decide which events a plugin gets. */
export interface Subscriber {
  subscriptions: readonly StoredSubscription[]
  includeOwn: boolean
}

/** `gone`: it fits, but its body is no longer there; or its filter costs too much on it. */
export type Choice = 'take' | 'leave' | 'gone'

/** The one place that decides what a replay delivers: for the job as for its dry run. */
export interface Selection {
  readonly needsBodies: boolean
  choose(candidate: Candidate): Choice
}

/**
 * With a delivery status: deliveries of that status, whatever the plugin subscribes to by now. Without: events
 * that the plugin's subscriptions take, with their filters, whether or not there was ever a delivery. `undelivered`:
 * those of them that were never sent and do not wait. What a newer one took the place of is none of these.
 */
export function createSelection(criteria: Criteria, subscriber: Subscriber): Selection {
  const { subscriptions, includeOwn } = subscriber
  const { event: pattern, deliveryStatus } = criteria
  const isByStatus = deliveryStatus !== null && deliveryStatus !== 'undelivered'
  const needsBodies = !isByStatus && subscriptions.some(({ filter }) => filter != null)

  function choose(candidate: Candidate): Choice {
    const { event } = candidate
    if (!candidate.in_range || (pattern !== null && !matchesPattern(pattern, event))) return 'leave'
    if (isByStatus) {
      if (candidate.delivery_status !== deliveryStatus) return 'leave'
      return candidate.has_body ? 'take' : 'gone'
    }
    if (deliveryStatus === 'undelivered' && isUnderWayOrOutdated(candidate)) return 'leave'
    if (candidate.is_own && !includeOwn) return 'leave'
    const matching = subscriptions.filter((subscription) => matchesPattern(subscription.event, event))
    if (matching.length === 0) return 'leave'
    // A filter cannot be tested on a body that is gone.
    if (!candidate.has_body) return 'gone'
    if (matching.some(({ filter }) => filter == null)) return 'take'
    const verdict = meetsAny(matching, candidate)
    return verdict === null ? 'gone' : verdict ? 'take' : 'leave'
  }

  return { needsBodies, choose }
}

function isUnderWayOrOutdated({ delivery_status: status }: Candidate): boolean {
  return status !== null && status !== 'failed'
}

/** The steps that the filters may take for one event. */
const EVENT_STEPS = 150_000

/** Filters see the time at which the event came, so that an hour later they say the same. Null: they cost too much. */
function meetsAny(subscriptions: readonly StoredSubscription[], candidate: Candidate): Verdict {
  if (candidate.body === null) return false
  const { data } = readJson(candidate.body) as { data: unknown }
  const earlier = (field: Path, spend: (steps: number) => void) => earlierValue(data, field, spend)
  const context = { now: candidate.received_at, earlier, budget: new StepBudget(EVENT_STEPS) }
  let isUndecided = false
  for (const { filter } of subscriptions) {
    const { result, exhausted } = evaluateCondition(filter, data, context)
    if (result) return true
    if (exhausted) isUndecided = true
  }
  return isUndecided ? null : false
}
