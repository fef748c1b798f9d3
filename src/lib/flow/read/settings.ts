import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { SendWindow } from '#lib/calendar.ts'
import { MAX_DURATION_MS } from '#lib/time.ts'
import { readEventMatches } from './event-match.ts'
import type { Compilation, Reader } from './reader.ts'
import {
  at,
  createReader,
  ENTRY_PLACE,
  finish,
  has,
  readChoice,
  readInteger,
  report,
  take,
} from './reader.ts'
import { readDuration } from './duration.ts'
import { readSendWindow } from './hours.ts'
import { readTemplateText } from './template.ts'
import { DEFAULT_PATIENCE_MS, DEFAULT_RETRY, MAX_RETRIES } from '../retry.ts'
import type { Part } from './source.ts'
import type { Enrolment, FlowSettings, RetryPolicy } from '../elements.ts'

export const DEFAULT_TIMEOUT_MS = 30_000
/** One attempt holds a connection and a lease. */
const MAX_TIMEOUT_MS = 300_000
const MIN_TIMEOUT_MS = 100

export function readSettings(compilation: Compilation, part: Part | null): FlowSettings {
  const members = part === null ? {} : part.value
  if (!isPlainObject(members)) {
    compilation.problems.report('malformed', part?.path ?? [], 'Give "settings" an object.', null)
    return readSettings(compilation, null)
  }
  const reader = createReader(compilation, members, part?.path ?? [], null, ENTRY_PLACE)
  const settings: FlowSettings = {
    timeout_ms: readTimeout(reader) ?? DEFAULT_TIMEOUT_MS,
    retry: {
      max_retries: readInteger(reader, 'retry_count', {
        min: 0,
        max: MAX_RETRIES,
        fallback: DEFAULT_RETRY.max_retries,
      }),
      patience_ms: readPatience(reader) ?? DEFAULT_PATIENCE_MS,
      base_ms: readDuration(reader, 'retry_delay', { maxMs: DEFAULT_RETRY.cap_ms }) ?? DEFAULT_RETRY.base_ms,
      cap_ms: DEFAULT_RETRY.cap_ms,
    },
    lifetime_ms: readDuration(reader, 'lifetime') ?? MAX_DURATION_MS,
    enrolment: readEnrolment(reader),
    ...windowOf(readSendWindow(reader)),
  }
  finish(reader)
  return settings
}

function windowOf(window: SendWindow | null): Pick<FlowSettings, 'send_window'> {
  return window === null ? {} : { send_window: window }
}

/** Milliseconds for one attempt, or a duration. */
export function readTimeout(reader: Reader): number | null {
  const timeoutMs = readDuration(reader, 'timeout', { maxMs: MAX_TIMEOUT_MS })
  if (timeoutMs === null || timeoutMs >= MIN_TIMEOUT_MS) return timeoutMs
  const message = `Give "timeout" at least ${MIN_TIMEOUT_MS}: it is in milliseconds.`
  report(reader, 'invalid_value', at(reader, 'timeout'), message)
  return null
}

/**
 * A step's own policy: `retry: { max_retries, base_ms, patience }`, or `retry_count`, `retry_delay` and `patience` as
 * in the settings. A step with a count and no patience means just that count. That of the settings is no such wish:
 * the platform's builder writes one into every flow.
 */
export function readRetry(reader: Reader, flow: RetryPolicy): RetryPolicy {
  const retry = take(reader, 'retry')
  if (retry === undefined) return readRetryMembers(reader, 'retry_count', 'retry_delay', flow)
  if (!isPlainObject(retry)) {
    report(
      reader,
      'malformed',
      at(reader, 'retry'),
      'Give "retry" an object: { "max_retries": 3, "base_ms": 1000, "patience": "2 hours" }.',
    )
    return flow
  }
  const inner = createReader(reader.compilation, retry, at(reader, 'retry'), reader.stepId)
  const policy = readRetryMembers(inner, 'max_retries', 'base_ms', flow)
  finish(inner)
  return policy
}

function readRetryMembers(reader: Reader, count: string, delay: string, flow: RetryPolicy): RetryPolicy {
  const patience = has(reader, count) ? 0 : (flow.patience_ms ?? 0)
  return {
    max_retries: readInteger(reader, count, { min: 0, max: MAX_RETRIES, fallback: flow.max_retries }),
    patience_ms: readPatience(reader) ?? patience,
    base_ms: readDuration(reader, delay, { maxMs: flow.cap_ms }) ?? flow.base_ms,
    cap_ms: flow.cap_ms,
  }
}

/** `never`, or the time after the last start. A reader that does not know `never` takes it for the longest time. */
function readReentry(reader: Reader): Pick<Enrolment, 'reenter_after_ms' | 'reenter_never'> {
  if (reader.members['reenter_after'] !== 'never') {
    return { reenter_after_ms: readDuration(reader, 'reenter_after') }
  }
  take(reader, 'reenter_after')
  return { reenter_after_ms: MAX_DURATION_MS, reenter_never: true }
}

/**
 * Reads the time for which errors that may pass by themselves are tried again; 0: only so often as the count says.
 */
function readPatience(reader: Reader): number | null {
  return readDuration(reader, 'patience', { allowsZero: true })
}

function readEnrolment(settings: Reader): Enrolment {
  const sent = take(settings, 'enrolment')
  const path = at(settings, 'enrolment')
  if (sent !== undefined && !isPlainObject(sent)) {
    report(settings, 'malformed', path, 'Give "enrolment" an object: { "key": "{{trigger.customer_id}}" }.')
  }
  const members = isPlainObject(sent) ? sent : {}
  const reader = createReader(settings.compilation, members, path, null, ENTRY_PLACE)
  const key = readTemplateText(reader, 'key')
  for (const rule of ['while_active', 'reenter_after']) {
    if (key === null && has(reader, rule)) {
      const message = `Add "key", such as "{{trigger.customer_id}}": "${rule}" is about executions with the same key.`
      report(reader, 'enrolment_without_key', at(reader, rule), message)
    }
  }
  const cancelOn = take(reader, 'cancel_on')
  const enrolment: Enrolment = {
    key,
    while_active: readChoice(
      reader,
      'while_active',
      ['skip', 'restart', 'allow'],
      key === null ? 'allow' : 'skip',
    ),
    ...readReentry(reader),
    cancel_on:
      cancelOn === undefined
        ? []
        : readEventMatches(reader, cancelOn, at(reader, 'cancel_on'), { withLookBack: true }),
  }
  finish(reader)
  return enrolment
}
