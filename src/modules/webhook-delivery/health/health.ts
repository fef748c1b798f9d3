import type { BreakerState, HoldReason } from '#db/schema.ts'
import { breakerOpenMs } from '#lib/async/backoff.ts'
import type { AttemptResult } from '../destinations/destination.ts'

/** A plugin's health as its lane holds it. Pure: time comes in as milliseconds of one clock. */
export interface Health {
  version: number
  breaker: BreakerState
  /** Openings in a row: each doubles the pause. */
  opens: number
  /** Nothing is sent before then; null: no hold. */
  holdUntil: number | null
  holdReason: HoldReason | null
  consecutiveFailures: number
  /** Those of them, counted from the last, that say that the receiver is down: what the breaker counts. */
  outages: number
  /** Since the last success. */
  failingSince: number | null
  failingAttempts: number
  /** `plugin.failing` was published and `plugin.recovered` was not yet. */
  announced: boolean
  /** `plugin.disabling_soon` was published in this streak. */
  warned: boolean
  lastErrorClass: string | null
  /** An attempt was answered well once. Until then attempts go one at a time. */
  proven: boolean
}

export interface HealthPolicy {
  disableAfterMs: number
}

/** Failures in a row, while reachable, before the breaker opens. */
const BREAKER_THRESHOLD = 5
/** Failures in a row before `plugin.failing` is published. */
export const FAILING_THRESHOLD = 5
/** A plugin is not given up on fewer attempts than this, however long it has been failing. */
export const DISABLE_MIN_ATTEMPTS = 20
/** So long before a plugin is disabled somebody is warned; half of the time that it has, if that is less. */
const WARNING_MS = 24 * 3_600_000

export type HealthEffect = 'failing' | 'disabling_soon' | 'recovered' | 'disable'

/**
 * The health after one more attempt. The breaker counts what says that the receiver is down or overrun; what is about
 * that one delivery leaves it closed.
 *
 * @param holdMs for how long the receiver is to be left alone
 */
export function afterAttempt(
  health: Health,
  result: Pick<AttemptResult, 'outcome' | 'isOutage' | 'errorClass'>,
  holdMs: number,
  now: number,
): Health {
  if (result.outcome === 'ok') {
    if (isUnblemished(health)) return health
    // Another answer may have asked for patience while this one was under way: that still holds.
    const patient = health.holdReason === 'retry_after'
    return {
      ...health,
      breaker: 'closed',
      opens: 0,
      holdUntil: patient ? health.holdUntil : null,
      holdReason: patient ? health.holdReason : null,
      consecutiveFailures: 0,
      outages: 0,
      failingSince: null,
      failingAttempts: 0,
      proven: true,
    }
  }
  const next: Health = {
    ...health,
    consecutiveFailures: health.consecutiveFailures + 1,
    outages: result.isOutage ? health.outages + 1 : 0,
    failingSince: health.failingSince ?? now,
    failingAttempts: health.failingAttempts + 1,
    lastErrorClass: result.errorClass,
  }
  if (holdMs > 0) hold(next, now + holdMs, 'retry_after')
  const halfOpenFailed = health.breaker === 'half_open'
  const trips = health.breaker === 'closed' && next.outages >= BREAKER_THRESHOLD
  if (result.isOutage && (halfOpenFailed || trips)) {
    next.breaker = 'open'
    next.opens = health.opens + 1
    hold(next, now + breakerOpenMs(next.opens), 'breaker_open')
  } else if (halfOpenFailed) {
    // It answered, if only to refuse this one: it is back.
    next.breaker = 'closed'
    next.opens = 0
  }
  return next
}

/** Of nearly every attempt: one for all of them. */
export const NO_EFFECTS: readonly HealthEffect[] = []

/** Returns the effects of a change of health. Told by state, not by the moment: what a crash kept from happening comes next time. */
export function effectsOf(health: Health, policy: HealthPolicy, now: number): readonly HealthEffect[] {
  if (health.consecutiveFailures === 0) return health.announced ? ['recovered'] : NO_EFFECTS
  const effects: HealthEffect[] = []
  const isFailing = health.consecutiveFailures >= FAILING_THRESHOLD
  if (!health.announced && isFailing) effects.push('failing')
  if (health.failingSince === null) return effects
  const failingMs = now - health.failingSince
  if (failingMs >= policy.disableAfterMs && health.failingAttempts >= DISABLE_MIN_ATTEMPTS) {
    effects.push('disable')
  } else if (!health.warned && isFailing && failingMs >= warnAfterMs(policy)) {
    effects.push('disabling_soon')
  }
  return effects
}

function warnAfterMs({ disableAfterMs }: HealthPolicy): number {
  return Math.max(disableAfterMs - WARNING_MS, disableAfterMs / 2)
}

/** The health once a hold has passed: an open breaker lets one attempt through. */
export function afterHold(health: Health): Health {
  return {
    ...health,
    breaker: health.breaker === 'open' ? 'half_open' : health.breaker,
    holdUntil: null,
    holdReason: null,
  }
}

function isUnblemished(health: Health): boolean {
  return (
    health.proven &&
    health.breaker === 'closed' &&
    health.opens === 0 &&
    health.holdUntil === null &&
    health.failingSince === null
  )
}

function hold(health: Health, until: number, reason: HoldReason): void {
  if (health.holdUntil !== null && health.holdUntil >= until) return
  health.holdUntil = until
  health.holdReason = reason
}
