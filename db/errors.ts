import pg from 'pg'

/** SQLSTATEs that say "the server, or the way to it, is not there": class 08, shutdown, crash, too many clients. */
const UNAVAILABLE_STATES = /^(08...|57P0[1235]|53300)$/

const UNAVAILABLE_SYSTEM_ERRORS: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  // This process has as many files open as it may, or the host has no port or buffer left.
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'EADDRNOTAVAIL',
])

/** Messages that pg and pg-pool give without a code. */
const UNAVAILABLE_MESSAGES =
  /^(timeout exceeded when trying to connect|timeout expired|Connection terminated|Client (has encountered a connection error|was closed) and is not queryable)/

/** True when Postgres cannot be reached or went away: the same again may work in a moment. Follows `cause`. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = codeOf(error)
  if (code !== undefined && (UNAVAILABLE_STATES.test(code) || UNAVAILABLE_SYSTEM_ERRORS.has(code)))
    return true
  return UNAVAILABLE_MESSAGES.test(error.message) || isUnavailable(error.cause)
}

/** True for a serialisation failure or a deadlock: the whole transaction may be run again. */
export function isSerialisationConflict(error: unknown): boolean {
  const code = codeOf(error)
  return code === '40001' || code === '40P01'
}

/** True when a lock was not got by `nowait` or within lock_timeout. */
export function isLockNotAvailable(error: unknown): boolean {
  return codeOf(error) === '55P03'
}

/** True when Postgres is there but does not get on: a statement or lock timeout, or no answer. Follows `cause`. */
export function isStalled(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (codeOf(error) === '57014' || isLockNotAvailable(error)) return true
  return error.message === 'Query read timeout' || isStalled(error.cause)
}

/** Out of disk, memory or connections, an operator's intervention, a failing file system, a server that only reads. */
const PASSING_STATES = /^(53...|57...|58...|25006)$/

/** True when Postgres is there and the server has to be put right first: a full disk, no memory, a server that only reads. */
export function isRefusing(error: unknown): boolean {
  return PASSING_STATES.test(codeOf(error) ?? '') && !isUnavailable(error) && !isStalled(error)
}

/**
 * True when the same statement may come through a moment later, and its contents are not at fault: Postgres is away
 * or does not get on, others were in the way, or the server has to be put right first.
 */
export function isPassing(error: unknown): boolean {
  if (isUnavailable(error) || isSerialisationConflict(error) || isStalled(error)) return true
  return PASSING_STATES.test(codeOf(error) ?? '')
}

/** The unique constraint (or unique index) that a statement violated; null for any other error. */
export function constraintOf(error: unknown): string | null {
  return error instanceof pg.DatabaseError && error.code === '23505' ? (error.constraint ?? null) : null
}

/**
 * Says for people what went wrong, without what the error says of the data.
 * @param what failed, as the sentence's beginning
 */
export function failureText(error: unknown, what = 'It'): string {
  const code = codeOf(error)
  if (code !== undefined && /^[0-9A-Z]{5}$/.test(code)) return `The database refused it (SQLSTATE ${code}).`
  return `${what} failed (${error instanceof Error ? error.name : 'unknown'}).`
}

function codeOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined
  return typeof code === 'string' ? code : undefined
}
