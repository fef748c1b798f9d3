import type { FastifyBaseLogger } from 'fastify'
import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import {
  type CountCancelled,
  countTriggered,
  type FlowEngineService,
  isPlainStart,
  startChecked,
  startTogether,
  type UncheckedStart,
} from '#modules/flow-engine/index.ts'
import { type FiringPlan, planFiring } from './firing.ts'
import {
  advanceSchedules,
  claimIdleSchedules,
  claimSchedules,
  type DueSchedule,
  postponeSchedule,
  selectUpcoming,
} from './firing-repository.ts'
import type { ScheduleMetrics } from './metrics.ts'

export interface FirerContext {
  db: Kysely<DB>
  findProgram: FlowEngineService['findProgram']
  /** Executions that a flow may start within a minute. */
  maxStartsPerMinute: number
  /** Tells of tenants with new executions, after their commit. */
  onStarted: (tenantIds: readonly string[]) => void
  /** Told after the commit. */
  countStarts: (counts: { queued: number; skipped: number }) => void
  onCancelled: CountCancelled
  metrics: ScheduleMetrics
  log: Pick<FastifyBaseLogger, 'error'>
}

/** The time by which a new schedule may be late, and that is looked ahead: one statement each time. */
export const LOOK_MS = 5_000
/** Somebody else has what is due. */
const TAKEN_MS = 250
/** A firing that failed is tried again after this time. */
const POSTPONE_MS = 60_000
const BATCH = 100

type Firing = DueSchedule & FiringPlan & { start: UncheckedStart | null; firedAt: Date | null }

/**
 * Fires schedules that have come due. A firing's execution and the schedule's next time are one transaction, which
 * holds the schedule's row and its flow's and waits for nobody's locks, so that any number of firers and whoever
 * changes the flow meanwhile can neither fire twice nor stop one another.
 */
export class Firer {
  readonly #ctx: FirerContext

  constructor(ctx: FirerContext) {
    this.#ctx = ctx
  }

  /**
   * One batch.
   * @param testNow in place of the database's clock
   * @returns how many were dealt with, and milliseconds until the next look
   */
  async pass(
    testNow: Date | null = null,
  ): Promise<{ result: PassResult; dealtWith: number; waitMs: number }> {
    const { now, schedules } = await selectUpcoming(this.#ctx.db, LOOK_MS, BATCH, testNow)
    const due = schedules.filter(({ due_at }) => due_at <= now)
    if (due.length === 0) {
      const next = schedules[0]?.due_at.getTime() ?? Infinity
      return { result: 'idle', dealtWith: 0, waitMs: Math.min(LOOK_MS, next - now.getTime()) }
    }
    const dealtWith = await this.#fire(due, now)
    return { result: dealtWith > 0 ? 'more' : 'idle', dealtWith, waitMs: TAKEN_MS }
  }

  async #fire(due: readonly DueSchedule[], now: Date): Promise<number> {
    const planned = await Promise.all(due.map((schedule) => this.#plan(schedule, now)))
    const firings = planned.filter((firing) => firing !== null)
    const plain = firings.filter(({ start }) => start === null || isPlainStart(start))
    let dealtWith = await this.#together(plain, now)
    for (const firing of firings) {
      if (!plain.includes(firing))
        dealtWith += await this.#attempt(firing, now, () => this.#alone(firing, now))
    }
    return dealtWith + (planned.length - firings.length)
  }

  /** @returns null if it has been put off, as its flow cannot be read */
  async #plan(schedule: DueSchedule, now: Date): Promise<Firing | null> {
    const { tenant_id: tenantId, flow_id: flowId, trigger_id, version } = schedule
    try {
      const plan = planFiring(
        {
          cron: schedule.cron,
          timeZone: schedule.time_zone,
          catchUp: schedule.catch_up,
          nextFireAt: schedule.next_fire_at,
        },
        now,
      )
      if (plan.data === null || version === null) return { ...schedule, ...plan, start: null, firedAt: null }
      const program = await this.#ctx.findProgram(tenantId, flowId, version)
      if (program === null) throw new Error('an active flow has no such version')
      const start = {
        tenantId,
        flowId,
        version,
        program,
        kind: 'schedule' as const,
        data: plan.data,
        event: null,
        startKey: `schedule ${trigger_id} ${plan.data.scheduled_at}`,
        scheduledAt: { triggerId: trigger_id, ms: Date.parse(plan.data.scheduled_at) },
        causationDepth: 0,
      }
      return { ...schedule, ...plan, start, firedAt: now }
    } catch (error) {
      await this.#putOff(schedule, now, error)
      return null
    }
  }

  /** All in one transaction; should that fail, each in one of its own. */
  async #together(firings: readonly Firing[], now: Date): Promise<number> {
    if (firings.length === 0) return 0
    try {
      return await this.#commit(firings, now)
    } catch {
      let dealtWith = 0
      for (const firing of firings)
        dealtWith += await this.#attempt(firing, now, () => this.#commit([firing], now))
      return dealtWith
    }
  }

  async #commit(firings: readonly Firing[], now: Date): Promise<number> {
    let counts = { queued: 0, skipped: 0 }
    const claimed = await this.#ctx.db.transaction().execute(async (trx) => {
      const idle = firings.filter(({ version }) => version === null)
      const active = firings.filter(({ version }) => version !== null)
      const taken = [
        ...(active.length > 0 ? await claimSchedules(trx, active) : []),
        ...(idle.length > 0 ? await claimIdleSchedules(trx, idle) : []),
      ]
      const starts = taken.flatMap(({ start }) => start ?? [])
      counts = await startTogether(trx, starts, this.#ctx.maxStartsPerMinute, now)
      await advanceSchedules(trx, taken)
      return taken
    })
    this.#ctx.countStarts(counts)
    this.#announce(claimed, now)
    return claimed.length
  }

  /**
   * A start whose enrolment looks at other executions may wait for those that decide on the same key. It goes first,
   * under its flow's lock, and the schedule is taken after it: whoever has that never waits, as flows that are locked
   * are passed over.
   */
  async #alone(firing: Firing, now: Date): Promise<number> {
    const { start } = firing
    if (start === null) return 0
    const counts = { queued: 0, skipped: 0 }
    let cancelled = 0
    const onCancelled = (count: number): void => void (cancelled += count)
    try {
      await this.#ctx.db.transaction().execute(async (trx: Transaction<DB>) => {
        const started = await startChecked(trx, { ...start, onCancelled }, this.#ctx.maxStartsPerMinute, now)
        if ((await claimSchedules(trx, [firing])).length === 0) throw new Taken()
        const count = started.status === 'queued' ? 1 : 0
        counts.queued = count
        counts.skipped = Number(started.status === 'skipped')
        await countTriggered(trx, start.tenantId, new Map([[start.flowId, count]]), now)
        await advanceSchedules(trx, [firing])
      })
    } catch (error) {
      if (error instanceof Taken) return 0
      throw error
    }
    this.#ctx.countStarts(counts)
    if (cancelled > 0) this.#ctx.onCancelled(cancelled, firing.tenant_id)
    this.#announce([firing], now)
    return 1
  }

  /** One schedule's trouble is not the others'. */
  async #attempt(firing: DueSchedule, now: Date, fire: () => Promise<number>): Promise<number> {
    try {
      return await fire()
    } catch (error) {
      await this.#putOff(firing, now, error)
      return 1
    }
  }

  async #putOff(schedule: DueSchedule, now: Date, error: unknown): Promise<void> {
    const { tenant_id, flow_id, trigger_id } = schedule
    this.#ctx.metrics.fired.inc({ outcome: 'postponed' })
    await postponeSchedule(this.#ctx.db, schedule, new Date(now.getTime() + POSTPONE_MS))
    this.#ctx.log.error({ err: error, tenant_id, flow_id, trigger_id }, 'a schedule was put off for a minute')
  }

  #announce(firings: readonly Firing[], now: Date): void {
    const { metrics } = this.#ctx
    for (const { start, next_fire_at } of firings) {
      metrics.fired.inc({ outcome: start === null ? 'passed' : 'fired' })
      if (start !== null) metrics.lag.observe(Math.max(0, now.getTime() - next_fire_at.getTime()) / 1_000)
    }
    const tenants = new Set(firings.filter(({ start }) => start !== null).map(({ tenant_id }) => tenant_id))
    if (tenants.size > 0) this.#ctx.onStarted([...tenants])
  }
}

/** Another firer, or whoever changes the flow, was first. */
class Taken extends Error {}
