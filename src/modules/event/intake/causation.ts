import type { FastifyRequest } from 'fastify'
import { invalidRequest } from '#infra/http/problems.ts'
import { secretContext } from '#infra/secrets.ts'
import { isUuid } from '#lib/ids.ts'
import type { FieldError } from '#lib/api/problem.ts'
import type { SecretBox } from '#lib/secrets/secret-box.ts'

/** The cause of an event, as the action that it is a consequence of was told. */
export interface Causation {
  /** The event that an automation answered with that action; null: it was started by hand or by the clock. */
  id: string | null
  /** Automations between the event and what a person or system did first. */
  depth: number
  /** By which a plugin shows that it was told so. */
  token?: string | undefined
}

export const CAUSATION_ID_HEADER = 'x-causation-id'
export const CAUSATION_DEPTH_HEADER = 'x-causation-depth'
export const CAUSATION_TOKEN_HEADER = 'x-causation-token'

/** Automations and deliveries that may stand between an event and what a person or system did first. */
export const MAX_CAUSATION_DEPTH = 8

/** More than any chain reaches, as flows stop far below; a caller's number is kept, not trusted to be small. */
export const MAX_STORED_DEPTH = 1_000
const DEPTH_RULE = `must be an integer from 0 to ${MAX_STORED_DEPTH}`
const DIGITS = /^\d{1,4}$/
const TOKEN = /^[\w-]{1,128}$/

/** The places of the parts, for whoever gave them wrongly. */
interface Pointers {
  id: string
  depth: string
  token: string
}

/** For all events of the request that do not say it themselves. @throws `invalid_request` */
export function readCausationHeaders(headers: FastifyRequest['headers']): Causation | null {
  const causation = readCausation(
    {
      id: headers[CAUSATION_ID_HEADER],
      depth: fromText(headers[CAUSATION_DEPTH_HEADER]),
      token: headers[CAUSATION_TOKEN_HEADER],
    },
    {
      id: `/headers/${CAUSATION_ID_HEADER}`,
      depth: `/headers/${CAUSATION_DEPTH_HEADER}`,
      token: `/headers/${CAUSATION_TOKEN_HEADER}`,
    },
  )
  if (Array.isArray(causation)) throw invalidRequest(undefined, { errors: causation })
  return causation
}

/** Absent and null are the same; null when neither id nor depth is given. */
export function readCausation(
  { id, depth, token }: { id: unknown; depth: unknown; token: unknown },
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
  if (token != null && (typeof token !== 'string' || !TOKEN.test(token))) {
    errors.push({
      pointer: pointers.token,
      detail: 'must be the x-causation-token that came beside the depth',
    })
  }
  if (errors.length > 0) return errors
  return {
    id: (id ?? null) as string | null,
    depth: depth as number,
    ...(token != null && { token: token as string }),
  }
}

/** A header's digits as the number that they stand for; anything else stays what it is. */
export function fromText(header: unknown): unknown {
  return typeof header === 'string' && DIGITS.test(header) ? Number(header) : header
}

/** The plugin that causation is told to. */
export interface Told {
  tenantId: string
  pluginId: string
}

/** Makes the token that a plugin is sent beside id and depth, and hands back with them: they are believed by it alone. */
export function causationToken(
  box: Pick<SecretBox, 'sign'>,
  told: Told,
  causation: Pick<Causation, 'id' | 'depth'>,
): string {
  return box.sign(textOf(causation), contextOf(told))
}

/**
 * Returns as much of a plugin's word as counts: all of it if the plugin was told so; else its event has no known cause, and is the
 * second of a chain at least.
 */
export function believedCausation(
  box: Pick<SecretBox, 'isSigned'>,
  told: Told,
  { token, ...causation }: Causation,
): Causation {
  if (token !== undefined && box.isSigned(textOf(causation), contextOf(told), token)) return causation
  return { id: null, depth: Math.max(1, causation.depth) }
}

function textOf({ id, depth }: Pick<Causation, 'id' | 'depth'>): string {
  return `${id?.toLowerCase() ?? ''} ${depth}`
}

function contextOf({ tenantId, pluginId }: Told): string {
  return secretContext(tenantId, pluginId, 'causation')
}
