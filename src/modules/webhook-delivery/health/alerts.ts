import { now } from '#lib/clock.ts'
import type { Outcome } from '../outcomes/repository.ts'
import { DISABLE_MIN_ATTEMPTS, type Health } from './health.ts'

export type PluginAlert = 'plugin.failing' | 'plugin.disabling_soon' | 'plugin.recovered' | 'plugin.disabled'

export interface PluginFacts {
  slug: string
  pluginId: string
  health: Health
  failingSince: Date | null
  /** The outcome that the alert follows from. */
  cause: Outcome
  disableAfterMs: number
  /** Of `plugin.disabled`. */
  reason: 'failing' | 'gone' | null
}

/** The data of an event that tells of a plugin's health: the numbers, what happened in a sentence, and what to do. */
export function pluginAlert(event: PluginAlert, facts: PluginFacts): Record<string, unknown> {
  const { slug, pluginId, health, failingSince, cause, reason } = facts
  const isBad = event !== 'plugin.recovered'
  return {
    plugin: slug,
    plugin_id: pluginId,
    consecutive_failures: health.consecutiveFailures,
    last_error_class: health.lastErrorClass,
    ...(reason !== null && { reason }),
    ...(isBad && { failing_since: failingSince?.toISOString() ?? null, cause: causeOf(cause) }),
    ...(event === 'plugin.disabling_soon' && endOf(facts)),
    summary: summaryOf(event, facts),
    ...(isBad && { what_to_do: adviceOf(event, facts) }),
  }
}

function causeOf(cause: Outcome) {
  return {
    event: cause.event,
    delivery_id: cause.deliveryId,
    response_status: cause.responseStatus,
    error_class: cause.errorClass,
  }
}

/** The time at which it is disabled at the earliest, and how many failed attempts that takes still. */
function endOf({ failingSince, disableAfterMs, health }: PluginFacts) {
  const at = Math.max((failingSince?.getTime() ?? now()) + disableAfterMs, now())
  return {
    disabled_at: new Date(at).toISOString(),
    attempts_left: Math.max(0, DISABLE_MIN_ATTEMPTS - health.failingAttempts),
  }
}

function summaryOf(event: PluginAlert, facts: PluginFacts): string {
  const { slug, health, failingSince, reason } = facts
  const since = failingSince === null ? '' : ` since ${failingSince.toISOString()}`
  switch (event) {
    case 'plugin.failing':
      return `${slug} has failed to take ${health.consecutiveFailures} deliveries in a row: ${errorOf(facts.cause)}.`
    case 'plugin.disabling_soon':
      return `${slug} has been failing${since} (${errorOf(facts.cause)}), and is disabled at ${endOf(facts).disabled_at} if it goes on.`
    case 'plugin.disabled':
      return reason === 'gone'
        ? `${slug} is disabled: it answered 410 to ${facts.cause.event}.`
        : `${slug} is disabled: it has been failing${since} (${errorOf(facts.cause)}).`
    case 'plugin.recovered':
      return `${slug} takes deliveries again.`
  }
}

function errorOf({ errorClass, responseStatus }: Outcome): string {
  const what = errorClass ?? 'no success'
  return responseStatus === null ? what : `${what}, status ${responseStatus}`
}

function adviceOf(event: PluginAlert, { slug, cause }: PluginFacts): string {
  const look = `GET /api/plugins/events/${cause.deliveryId} shows what was sent and what came back.`
  if (event === 'plugin.disabled') {
    return `${look} Mend the endpoint, try it by POST /api/plugins/${slug}/test, and POST /api/plugins/${slug}/resume sends what waits.`
  }
  return `${look} Mend the endpoint: what failed is sent again by itself, and the first success ends this.`
}
