import { hash, randomUUIDv7 } from 'node:crypto'
import { clockGeneration, clockOffsetMs, now } from './clock.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
/** The index of the version digit in a UUID's text. */
const VERSION_AT = 14

/**
 * The length of the part of a UUIDv7's text that holds its time, its version and the order within one millisecond.
 */
const TIMED = 18

/** Before it stands the time of a UUIDv7. */
const TIME_END = 13

let last = ''
let lastGeneration = clockGeneration()

/**
 * A UUIDv7 of the database's clock. Ids of one process sort in the order in which they were minted, unless another clock
 * counts meanwhile; those of several only by millisecond.
 */
export function newId(): string {
  const id = clockOffsetMs() === 0 ? randomUUIDv7() : withTime(randomUUIDv7(), now())
  if (lastGeneration !== clockGeneration()) {
    lastGeneration = clockGeneration()
    last = ''
  }
  last = id > last ? id : successorOf(last)
  return last
}

function withTime(id: string, ms: number): string {
  const hex = Math.trunc(ms).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}${id.slice(TIME_END)}`
}

/** The index of the last group in a UUID's text: 48 random bits. */
const TAIL_AT = 24
const TAIL_MAX = 2 ** 48 - 1

/** RFC 9562 §6.2, method 2: the random part counts on. */
function successorOf(id: string): string {
  const tail = Number.parseInt(id.slice(TAIL_AT), 16)
  if (tail < TAIL_MAX) return id.slice(0, TAIL_AT) + (tail + 1).toString(16).padStart(12, '0')
  // Not by waiting for the clock: another one may count meanwhile.
  return withTime(randomUUIDv7(), uuidTime(id).getTime() + 1)
}

/**
 * A UUIDv8 (RFC 9562) made of the name's SHA-256: the same name, the same id. It sorts with the ids of the time of
 * `base`, a UUIDv7.
 */
export function derivedId(name: string, base: string): string {
  const hex = hash('sha256', name, 'hex')
  return `${base.slice(0, TIME_END).toLowerCase()}-8${hex.slice(0, 3)}-8${hex.slice(3, 6)}-${hex.slice(6, 18)}`
}

/**
 * A UUIDv7 with the time and place of another one, the rest of it 62 bits of the name's SHA-256: the same again for the
 * same two.
 *
 * @throws {RangeError} if the other one is no UUIDv7
 */
export function derivedIdLike(other: string, name: string): string {
  uuidTime(other)
  return `${other.slice(0, TIMED).toLowerCase()}-${derivedId(name, other).slice(TIMED + 1)}`
}

/** The same for a time, in epoch milliseconds. */
export function derivedIdAt(ms: number, name: string): string {
  const hex = Math.trunc(ms).toString(16).padStart(12, '0')
  const time = `${hex.slice(0, 8)}-${hex.slice(8)}`
  return derivedIdLike(`${time}-7${derivedId(name, time).slice(VERSION_AT + 1)}`, name)
}

/** Any UUID in its 8-4-4-4-12 form, of any version. */
export function isUuid(text: string): boolean {
  return UUID.test(text)
}

/** The millisecond in which a UUIDv7 was minted; throws RangeError for anything else, which carries no time. */
export function uuidTime(id: string): Date {
  if (!isUuid(id) || id[VERSION_AT] !== '7') throw new RangeError(`not a UUIDv7: ${id.slice(0, 36)}`)
  return new Date(mintedAtMs(id))
}

/** The same in epoch milliseconds, of an id that is known to be a UUIDv7. */
export function mintedAtMs(id: string): number {
  return Number.parseInt(id.slice(0, 8), 16) * 65_536 + Number.parseInt(id.slice(9, TIME_END), 16)
}
