import { isDeepStrictEqual } from 'node:util'
import type { StoredSubscription } from '#db/schema.ts'
import { matchesPattern } from '#lib/event-pattern.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { type JsonObject, restoreLeaves } from './redaction.ts'
import type { PluginPatch, Subscription } from '../schemas.ts'

/** Everything about a plugin that people decide, decided. */
export interface Settings {
  name: string
  description: string | null
  webhook_url: string
  base_url: string
  events: StoredSubscription[]
  config: JsonObject
  headers: Record<string, string>
  metadata: JsonObject
  retry_schedule: readonly number[] | null
  timeout_ms: number | null
  rate_limit_per_second: number | null
  max_in_flight: number | null
  include_own: boolean
}

/** What a caller wants changed: undefined stays as it is, null returns to the default. */
export type Changes = Omit<PluginPatch, 'slug' | 'status' | 'keep_waiting'>

/** With all of these null, a replacement is a patch. */
const ALL_DEFAULTS = {
  description: null,
  base_url: null,
  events: null,
  config: null,
  headers: null,
  metadata: null,
  retry_schedule: null,
  timeout_ms: null,
  rate_limit_per_second: null,
  max_in_flight: null,
  include_own: null,
} as const

const NOTHING: Settings = {
  ...ALL_DEFAULTS,
  name: '',
  webhook_url: '',
  base_url: '',
  events: [],
  config: {},
  headers: {},
  metadata: {},
  include_own: false,
}

/** The changes that make what is left out return to its default. */
export function asReplacement(changes: Changes): Changes {
  return { ...ALL_DEFAULTS, ...changes }
}

export interface Applied {
  settings: Settings
  /** Stored custom headers are in `settings`, sent by somebody who need not know them. */
  keptHeaders: boolean
  errors: FieldError[]
}

/** The settings after the changes, which `checkChanges` has found well-formed. `current` null: there are none yet. */
export function applyChanges(current: Settings | null, changes: Changes): Applied {
  const before = current ?? NOTHING
  const config = restoreLeaves(changes.config ?? {}, before.config, 'config')
  const headers = restoreLeaves(lowerCaseNames(changes.headers ?? {}), before.headers, 'headers')
  const webhookUrl = changes.webhook_url ?? before.webhook_url
  return {
    settings: {
      name: changes.name ?? before.name,
      description: orDefault(changes.description, before.description, null),
      webhook_url: webhookUrl,
      base_url: baseUrlAfter(before, changes, webhookUrl),
      events: changes.events === undefined ? before.events : (changes.events ?? []).map(subscriptionOf),
      config: changes.config === undefined ? before.config : config.value,
      headers: changes.headers === undefined ? before.headers : (headers.value as Record<string, string>),
      metadata: orDefault(changes.metadata, before.metadata, {}),
      retry_schedule: orDefault(changes.retry_schedule, before.retry_schedule, null),
      timeout_ms: orDefault(changes.timeout_ms, before.timeout_ms, null),
      rate_limit_per_second: orDefault(changes.rate_limit_per_second, before.rate_limit_per_second, null),
      max_in_flight: orDefault(changes.max_in_flight, before.max_in_flight, null),
      include_own: orDefault(changes.include_own, before.include_own, false),
    },
    keptHeaders: changes.headers === undefined ? Object.keys(before.headers).length > 0 : headers.kept,
    errors: [...config.errors, ...headers.errors],
  }
}

/** The names of the settings that differ: what the audit log says of a change, without any value. */
export function changedFields(before: Settings, after: Settings): (keyof Settings)[] {
  return (Object.keys(before) as (keyof Settings)[]).filter(
    (field) => !isDeepStrictEqual(before[field], after[field]),
  )
}

/** Whether requests of any kind would go to an origin that they do not go to now. */
export function movesOrigin(before: Settings, after: Settings): boolean {
  const known = new Set([originOf(before.webhook_url), originOf(before.base_url)])
  return !known.has(originOf(after.webhook_url)) || !known.has(originOf(after.base_url))
}

/** Whether some event that was taken may not be taken any more. */
export function isNarrowed(before: Settings, after: Settings): boolean {
  return !before.events.every((old) =>
    after.events.some(
      ({ event, filter }) =>
        covers(event, old.event) && (filter === null || isDeepStrictEqual(filter, old.filter)),
    ),
  )
}

/** Whether every type that `inner` takes is taken by `outer`, too. */
function covers(outer: string, inner: string): boolean {
  if (outer === inner || outer === '*') return true
  return inner !== '*' && matchesPattern(outer, inner)
}

/** A plain pattern is as good as one with no filter: both are stored and given back alike. */
export function subscriptionOf(entry: Subscription): StoredSubscription {
  return typeof entry === 'string'
    ? { event: entry, filter: null }
    : { event: entry.event, filter: entry.filter ?? null }
}

function originOf(url: string): string {
  return URL.parse(url)?.origin ?? ''
}

function baseUrlAfter(before: Settings, changes: Changes, webhookUrl: string): string {
  if (typeof changes.base_url === 'string') return changes.base_url
  const followed = before.base_url === originOf(before.webhook_url)
  return changes.base_url === undefined && !followed ? before.base_url : originOf(webhookUrl)
}

function orDefault<T>(given: T | null | undefined, before: T, initial: T): T {
  return given === undefined ? before : (given ?? initial)
}

function lowerCaseNames(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
