import { JsonInputError, toPointer } from './error.ts'
import { endOfString } from './scan.ts'
import type { RawNumber } from './raw-number.ts'
import { exactNumber, spelledNumber } from './raw-number.ts'

/** Far beyond a double's 17 digits and 10^308, and still cheap for Postgres `numeric`. */
const MAX_NUMBER_DIGITS = 1000
const MAX_NUMBER_EXPONENT = 10_000

const NUMBER_TOKEN = /-?\d[\d.eE+-]*/y
const COLON = 58
/** JSON's white space are this and three control characters; others do not get through `JSON.parse`. */
const SPACE = 32

interface Frame {
  /** The array or object that `JSON.parse` made here; null when that is not known. */
  container: Record<string | number, unknown> | null
  /** Names so far, or null for an array. */
  names: Set<string> | null
  /** The position of the pass in the container. */
  at: string | number
}

/**
 * The slow, exact pass, for text in which a cheap test saw something suspicious. Throws JsonInputError for the
 * first problem in document order. Numbers that a double does not carry unchanged are replaced in `parsed` by what
 * was written, with `spelled` also those that it carries and would write otherwise; a reviver would do that at six times the cost of `JSON.parse`.
 *
 * @param parsed what `JSON.parse` made of the text; undefined when it has not been parsed and may be malformed
 * @returns `parsed`, or the exact number when that is all the text holds
 */
export function inspectJson(text: string, parsed: unknown, maxDepth: number, spelled = false): unknown {
  const toNumber = spelled ? spelledNumber : exactNumber
  const root = { '': parsed }
  let frame: Frame = { container: parsed === undefined ? null : root, names: null, at: '' }
  const frames = [frame]

  let at = 0
  while (at < text.length) {
    const char = text[at] ?? ''
    if (char === '"') {
      const end = endOfString(text, at) || text.length
      const content = decodeString(text, at, end)
      at = end
      if (frame.names && isNameEnd(text, at)) {
        checkText(content, frames.slice(0, -1))
        frame.at = content
        checkName(content, frame.names, frames)
        frame.names.add(content)
      } else {
        checkText(content, frames)
      }
    } else if (char === '-' || (char >= '0' && char <= '9')) {
      NUMBER_TOKEN.lastIndex = at
      const source = NUMBER_TOKEN.exec(text)?.[0] ?? char
      at += source.length
      checkNumber(source, frames)
      // Malformed text has no containers.
      if (frame.container) keepExact(toNumber(source), frame.container, frame.at)
    } else {
      at++
      if (char === '[' || char === '{') {
        if (frames.length > maxDepth) {
          throw new JsonInputError(
            'too_deep',
            pointerTo(frames),
            `Nest at most ${maxDepth} arrays and objects.`,
          )
        }
        const container = asContainer(frame.container?.[frame.at])
        frame = char === '[' ? { container, names: null, at: 0 } : { container, names: new Set(), at: '' }
        frames.push(frame)
      } else if (char === ']' || char === '}') {
        frames.pop()
        frame = frames.at(-1) ?? unbalanced()
      } else if (char === ',' && typeof frame.at === 'number') {
        frame.at++
      }
    }
  }
  return root['']
}

function pointerTo(frames: readonly Frame[]): string {
  return toPointer(frames.slice(1).map(({ at }) => at))
}

function keepExact(
  number: number | RawNumber,
  container: Record<string | number, unknown>,
  at: string | number,
): void {
  if (typeof number !== 'number') container[at] = number
}

/** A name given twice can leave a scalar where the text has a container: the duplicate is reported further on. */
function asContainer(value: unknown): Frame['container'] {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
}

function decodeString(text: string, start: number, end: number): string {
  const content = text.slice(start + 1, end - 1)
  if (!content.includes('\\')) return content
  try {
    return JSON.parse(text.slice(start, end)) as string
  } catch (cause) {
    throw new JsonInputError('invalid_json', null, 'The body holds a malformed string.', { cause })
  }
}

/** Returns whether a string that ended just before `at` was a member's name. */
function isNameEnd(text: string, at: number): boolean {
  while (text.charCodeAt(at) <= SPACE) at++
  return text.charCodeAt(at) === COLON
}

function unbalanced(): never {
  throw new JsonInputError('invalid_json', null, 'The body closes more brackets than it opens.')
}

function checkName(name: string, names: Set<string>, frames: readonly Frame[]): void {
  if (name === '__proto__') {
    throw new JsonInputError(
      'forbidden_key',
      pointerTo(frames),
      'Rename this member: the name is not allowed.',
    )
  }
  if (names.has(name)) {
    throw new JsonInputError('duplicate_key', pointerTo(frames), 'Give this member once: it is here twice.')
  }
}

function checkText(text: string, frames: readonly Frame[]): void {
  if (text.includes('\0')) {
    throw new JsonInputError(
      'nul_character',
      pointerTo(frames),
      'Remove the NUL character: it cannot be stored.',
    )
  }
  if (!text.isWellFormed()) {
    throw new JsonInputError('lone_surrogate', pointerTo(frames), 'Remove the half of a surrogate pair.')
  }
}

function checkNumber(source: string, frames: readonly Frame[]): void {
  const exponentAt = source.search(/[eE]/)
  const mantissa = exponentAt === -1 ? source.length : exponentAt
  const exponent = exponentAt === -1 ? 0 : Number(source.slice(exponentAt + 1))
  if (mantissa > MAX_NUMBER_DIGITS || Math.abs(exponent) > MAX_NUMBER_EXPONENT) {
    const limits = `at most ${MAX_NUMBER_DIGITS} digits and an exponent within ±${MAX_NUMBER_EXPONENT}`
    throw new JsonInputError('number_out_of_range', pointerTo(frames), `Send a number of ${limits}, or text.`)
  }
}
