import type { FastifyRequest } from 'fastify'
import { invalidRequest } from '#infra/http/problems.ts'
import { isUuid } from '#lib/ids.ts'
import type { FieldError } from '#lib/api/problem.ts'

/** What led to an event, as the action that it is a consequence of was told. */
export interface Causation {
  /** The event that an automation answered with that action; null: it was started by hand or by the clock. */
  id: string | null
  /** Automations between the event and what a person or system did first. */
  depth: number
}

export const CAUSATION_ID_HEADER = 'x-causation-id'
export const CAUSATION_DEPTH_HEADER = 'x-causation-depth'

/** Automations and deliveries that may stand between an event and what a person or system did first. */
export const MAX_CAUSATION_DEPTH = 8

/** More than any chain reaches, as flows stop far below; a caller's number is kept, not trusted to be small. */
export const MAX_STORED_DEPTH = 1_000
const DEPTH_RULE = `must be an integer from 0 to ${MAX_STORED_DEPTH}`
const DIGITS = /^\d{1,4}$/

/** Where the parts stand, for whoever gave them wrongly. */
interface Pointers {
  id: string
  depth: string
}

/** For all events of the request that do not say it themselves. @throws `invalid_request` */
export function readCausationHeaders(headers: FastifyRequest['headers']): Causation | null {
  const causation = readCausation(headers[CAUSATION_ID_HEADER], fromText(headers[CAUSATION_DEPTH_HEADER]), {
    id: `/headers/${CAUSATION_ID_HEADER}`,
    depth: `/headers/${CAUSATION_DEPTH_HEADER}`,
  })
  if (Array.isArray(causation)) throw invalidRequest(undefined, { errors: causation })
  return causation
}

/** Absent and null are the same; null when neither part is given. */
export function readCausation(
  id: unknown,
  depth: unknown,
  pointers: Pointers,
): Causation | null | FieldError[] {
  if (id == null && depth == null) return null
  const errors: FieldError[] = []
  if (id != null && (typeof id !== 'string' || !isUuid(id))) {
    errors.push({ pointer: pointers.id, detail: 'must be the UUID of an event' })
  }
  if (depth == null) errors.push({ pointer: pointers.depth, detail: 'is required beside the id' })
  else if (typeof depth !== 'number' || !Number.isInteger(depth) || depth < 0 || depth > MAX_STORED_DEPTH) {
    errors.push({ pointer: pointers.depth, detail: DEPTH_RULE })
  }
  return errors.length > 0 ? errors : { id: (id ?? null) as string | null, depth: depth as number }
}

/** A header's digits as the number that they stand for; anything else stays what it is. */
export function fromText(header: unknown): unknown {
  return typeof header === 'string' && DIGITS.test(header) ? Number(header) : header
}
