import { invalidRequest } from '#infra/http/problems.ts'
import { now } from '#lib/clock.ts'
import { parseTime } from '#lib/time.ts'
import { flowNotFound } from '#modules/flow/index.ts'
import type { ExecutionContext } from '../context.ts'
import { hasFlow, selectDayStats } from './repository.ts'
import { type FlowStats, type FlowStatsQuery, STATS_DEFAULT_DAYS, STATS_MAX_DAYS } from './schemas.ts'

const DAY_MS = 24 * 3_600_000
/** A request answers in time, with the days that it has come to. */
const WORK_MS = 3_000

/** @throws `flow_not_found`, `invalid_request` */
export async function readFlowStats(
  { db }: Pick<ExecutionContext, 'db'>,
  tenantId: string,
  flowId: string,
  query: FlowStatsQuery,
): Promise<FlowStats> {
  const { first, last } = readDays(query)
  if (!(await hasFlow(db, tenantId, flowId))) throw flowNotFound()
  const deadline = performance.now() + WORK_MS
  const days: FlowStats['days'] = []
  let day = last
  for (; day >= first && performance.now() < deadline; day -= DAY_MS) {
    days.push({ day: dayText(day), ...(await selectDayStats(db, tenantId, flowId, day)) })
  }
  return {
    flow_id: flowId,
    since: dayText(first),
    until: dayText(last),
    complete: day < first,
    totals: totalsOf(days),
    days,
  }
}

function readDays({ since, until }: FlowStatsQuery): { first: number; last: number } {
  const last = until === undefined ? midnight(now()) : dayOf(until, 'until')
  const first = since === undefined ? last - (STATS_DEFAULT_DAYS - 1) * DAY_MS : dayOf(since, 'since')
  if (first > last) throw refused('since', 'must not be after until')
  if (last - first >= STATS_MAX_DAYS * DAY_MS) {
    throw refused('since', `must be at most ${STATS_MAX_DAYS} days before until, both included`)
  }
  return { first, last }
}

function dayOf(text: string, name: string): number {
  const ms = parseTime(text)
  if (ms === null || ms < DAY_MS) throw refused(name, 'must be a date such as 2026-05-01')
  return midnight(ms)
}

function refused(name: string, detail: string) {
  return invalidRequest(undefined, { errors: [{ pointer: `/querystring/${name}`, detail }] })
}

function midnight(ms: number): number {
  return Math.floor(ms / DAY_MS) * DAY_MS
}

function dayText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

function totalsOf(days: FlowStats['days']): FlowStats['totals'] {
  const sum = (name: keyof FlowStats['totals']): number => days.reduce((total, day) => total + day[name], 0)
  return {
    started: sum('started'),
    active: sum('active'),
    completed: sum('completed'),
    filtered: sum('filtered'),
    failed: sum('failed'),
    handled: sum('handled'),
    cancelled: sum('cancelled'),
    timed_out: sum('timed_out'),
    skipped: sum('skipped'),
  }
}
