import { Buffer } from 'node:buffer'
import { invalidRequest } from '#infra/http/problems.ts'
import { definitionFormat, type FlowFormat } from '#lib/flow/index.ts'
import { parseJson } from '#lib/json/index.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { redactCall } from '#lib/secrets/redact-call.ts'

export const NAME_MAX_CHARS = 200
export const DESCRIPTION_MAX_CHARS = 5_000
export const CHOSEN_STATUSES = ['draft', 'active', 'inactive'] as const
export type ChosenStatus = (typeof CHOSEN_STATUSES)[number]

/** A definition together with its exact text. */
export interface Definition {
  value: Record<string, unknown>
  text: string
}

/** The members of a definition beside the flow itself. */
export interface Envelope {
  name: string
  description: string | null
  /** As said, or as its format defaults: linear flows are active, graphs are drafts. */
  status: ChosenStatus
  format: FlowFormat
}

/** The trigger of a flow, as far as its draft names one. */
export type TriggerSummary = Record<string, unknown> & { type: string; event_types?: string[] }

/** Of a definition that comes from within. */
export function definitionOf(value: unknown): Definition {
  if (!isObject(value)) throw invalidRequest('Send the definition of a flow as an object.')
  return { value, text: JSON.stringify(value) }
}

export function parseDefinition(text: string): Definition {
  return { value: parseJson(Buffer.from(text)) as Record<string, unknown>, text }
}

/** Returns a definition without the credentials that headers, URLs and inputs hold, for those who may not change it. */
export function redactedText(text: string): string {
  return JSON.stringify(redactCall(parseDefinition(text).value))
}

/** @throws `invalid_request` */
export function readEnvelope({ value }: Definition): Envelope {
  const errors: FieldError[] = []
  const { name, description = null } = value
  const format = definitionFormat(value)
  const status = value['status'] ?? (format === 'linear' ? 'active' : 'draft')
  if (!isText(name, NAME_MAX_CHARS) || name.trim() === '') {
    errors.push({ pointer: '/name', detail: `must be text of 1 to ${NAME_MAX_CHARS} characters` })
  }
  if (description !== null && !isText(description, DESCRIPTION_MAX_CHARS)) {
    errors.push({
      pointer: '/description',
      detail: `must be text of at most ${DESCRIPTION_MAX_CHARS} characters`,
    })
  }
  if (!CHOSEN_STATUSES.includes(status as ChosenStatus)) {
    errors.push({ pointer: '/status', detail: `must be one of ${CHOSEN_STATUSES.join(', ')}` })
  }
  if (errors.length > 0) throw invalidRequest(undefined, { errors })
  return {
    name: name as string,
    description: description as string | null,
    status: status as ChosenStatus,
    format,
  }
}

const MAX_TRIGGERS = 10
const MAX_EVENT_TYPES = 50
const MAX_SUMMARY_CHARS = 200

/** Reads what it can: a draft may be wrong. */
export function summariseTriggers({ value }: Definition): TriggerSummary[] {
  const { trigger_event: event, trigger, triggers } = value
  const given: unknown[] = [
    ...(event == null ? [] : [{ type: 'event', event_types: event }]),
    ...(trigger == null ? [] : [trigger]),
    ...(Array.isArray(triggers) ? (triggers as unknown[]) : []),
  ]
  return given.slice(0, MAX_TRIGGERS).flatMap((each) => {
    if (!isObject(each) || !isText(each['type'], MAX_SUMMARY_CHARS)) return []
    if (each['type'] !== 'event') {
      const { cron, timezone } = each
      return [
        {
          type: each['type'],
          ...(isText(cron, MAX_SUMMARY_CHARS) && { cron }),
          ...(isText(timezone, MAX_SUMMARY_CHARS) && { timezone }),
        },
      ]
    }
    const types = [each['event_types'] ?? each['event_type']].flat(1).slice(0, MAX_EVENT_TYPES)
    return [{ type: 'event', event_types: types.filter((type) => isText(type, MAX_SUMMARY_CHARS)) }]
  })
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isText(value: unknown, maxChars: number): value is string {
  return typeof value === 'string' && value.length <= maxChars
}
