import { Cron } from 'croner'

/**
 * The times at which a cron expression comes due, in an IANA time zone. Five fields, or a name such as `@daily`.
 *
 * On the two days on which clocks change, croner's rules hold (tested in test/lib/cron.test.ts):
 * - An expression whose minute and hour are numbers, lists or ranges comes due once at each of its times. A time that
 *   the clock jumps over comes due at the end of the gap (02:30 in Berlin on 29 March 2026: at 03:00), one that
 *   happens twice at its first occurrence.
 * - One with a `*` or a step in them is an interval: it goes on evenly, comes due in both of the repeated hours and
 *   not in the one that is missing.
 */
export interface Schedule {
  /** Strictly after it; null: never again. */
  next(after: Date): Date | null
  /** At it or before; null: none. */
  last(upTo: Date): Date | null
  /** Counts from the one to the other, both included; counts no further than `most`. */
  count(from: Date, upTo: Date, most: number): number
}

/** @throws an error that tells people the expression's fault */
export function parseSchedule(expression: string, timeZone: string): Schedule {
  const cron = new Cron(expression, {
    mode: '5-part',
    timezone: timeZone,
    fixedTimeRule: 'no-wildcard',
    paused: true,
  })
  return {
    next: (after) => cron.nextRun(after),
    // Croner looks strictly before, by whole seconds.
    last: (upTo) =>
      cron.previousRuns(1, new Date(Math.floor(upTo.getTime() / 1_000) * 1_000 + 1_000))[0] ?? null,
    count: (from, upTo, most) => {
      let count = 0
      for (let at: Date | null = new Date(from.getTime() - 1); count < most; count++) {
        at = cron.nextRun(at)
        if (at === null || at > upTo) break
      }
      return count
    },
  }
}

/** The warning for a schedule that names both. */
export const EITHER_DAY =
  'It comes due on those days of the month and on those weekdays, whichever it is. Leave one of them "*"; the first ' +
  'Monday of the month is "* * MON#1".'

/** Returns whether it limits the day of the month and the weekday: cron takes them as alternatives. */
export function takesEitherDay(expression: string): boolean {
  const [, , day, , weekday] = expression.trim().split(/\s+/)
  const isLimit = (field: string | undefined): boolean => field !== undefined && !/^[*?]$/.test(field)
  return isLimit(day) && isLimit(weekday)
}
