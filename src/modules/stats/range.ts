import { readTimeRange } from '#infra/http/log-filters.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { SPANS } from '#infra/statistics/tables.ts'
import type { FieldError } from '#lib/api/problem.ts'

export const STEPS = ['1m', '5m', '1h', '1d'] as const
export type Step = (typeof STEPS)[number]

export const MAX_POINTS = 500
const DEFAULT_MS = 86_400_000
const DAY_MS = 86_400_000
/** Beyond it no time can be named. */
const LAST_MS = 8.64e15

export interface StatsRange {
  step: Step
  stepSeconds: number
  since: Date
  until: Date
}

/**
 * Reads a period and its step, and widens it to whole steps. Left out: the last 24 hours, by the finest step that gives 500
 * points at most and is still kept.
 * @throws `invalid_request` for a period that none is, or that this step does not go with
 */
export function readRange(query: { since?: string; until?: string; step?: Step }, nowMs: number): StatsRange {
  const given = readTimeRange(query)
  const until = given.until?.getTime() ?? nowMs
  const since = given.since?.getTime() ?? until - DEFAULT_MS
  if (since >= until) refuse('since', 'must be before until, which is now where it is left out')
  if (since < 0 || until > LAST_MS - DAY_MS) refuse('until', 'must be a time that a calendar has')
  const fits = STEPS.filter((step) => problemOf(step, since, until, nowMs) === null)
  const step = query.step ?? fits[0]
  if (step === undefined) refuse('since', `must be at most ${MAX_POINTS} days before until`)
  const problem = problemOf(step, since, until, nowMs)
  if (problem !== null) {
    refuse(
      'step',
      `${problem}; ${fits[0] === undefined ? 'shorten the period' : `this period goes with ${fits.join(', ')}`}`,
    )
  }
  return { step, ...widened(step, since, until) }
}

function refuse(name: string, detail: string): never {
  const errors: FieldError[] = [{ pointer: `/querystring/${name}`, detail }]
  throw invalidRequest(undefined, { errors })
}

function widened(step: Step, since: number, until: number): Omit<StatsRange, 'step'> {
  const { seconds } = spanOf(step)
  const ms = seconds * 1_000
  return {
    stepSeconds: seconds,
    since: new Date(Math.floor(since / ms) * ms),
    until: new Date(Math.ceil(until / ms) * ms),
  }
}

function problemOf(step: Step, since: number, until: number, nowMs: number): string | null {
  const { keptDays, seconds } = spanOf(step)
  const range = widened(step, since, until)
  const points = (range.until.getTime() - range.since.getTime()) / (seconds * 1_000)
  if (points > MAX_POINTS) return `gives ${points} points, and ${MAX_POINTS} are answered at most`
  // The longest step takes what there is.
  if (step !== '1d' && since < nowMs - keptDays * DAY_MS) return `is kept for ${keptDays} days`
  return null
}

function spanOf(step: Step): (typeof SPANS)[number] {
  return SPANS[STEPS.indexOf(step)] ?? SPANS[0]
}
