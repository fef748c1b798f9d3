import { parseSchedule } from '#lib/cron.ts'

/** The `trigger` of an execution that a schedule starts. */
export interface FiringData {
  /** Its time by the schedule. */
  scheduled_at: string
  fired_at: string
  /** Earlier times that passed without a run since the last one that was dealt with; at most MISSED_MAX are counted. */
  missed: number
}

export interface FiringPlan {
  /** Null: its time has passed, and the schedule skips what was missed. */
  data: FiringData | null
  /** Null: it never comes due again. */
  nextFireAt: Date | null
}

/** A firing that is no later than this is on time, also for a schedule that skips: a restart takes no longer. */
const ON_TIME_MS = 5 * 60_000
/** Each costs some 50 µs to find. */
const MISSED_MAX = 100

/**
 * Plans what there is to do at `now` for a schedule of which everything before `nextFireAt` has been dealt with: the latest
 * time that has come is fired for all that were missed before it, or skipped with them.
 */
export function planFiring(
  schedule: { cron: string; timeZone: string; catchUp: 'skip' | 'once'; nextFireAt: Date },
  now: Date,
): FiringPlan {
  const times = parseSchedule(schedule.cron, schedule.timeZone)
  const nextFireAt = times.next(now)
  const first = schedule.nextFireAt
  const last = times.last(now)
  // A change of the zone's rules may have moved the times since the first was computed.
  const latest = last === null || last < first ? first : last
  const isLate = now.getTime() - latest.getTime() > ON_TIME_MS
  if (isLate && schedule.catchUp === 'skip') return { data: null, nextFireAt }
  const missed = Math.min(MISSED_MAX, Math.max(0, times.count(first, latest, MISSED_MAX + 1) - 1))
  return {
    data: { scheduled_at: latest.toISOString(), fired_at: now.toISOString(), missed },
    nextFireAt,
  }
}
