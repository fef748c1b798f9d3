import type { FieldError } from '#lib/api/problem.ts'
import { splitPointer } from '#lib/flow/index.ts'
import { isRawNumber, toPointer } from '#lib/json/index.ts'
import { isHarmlessHeader, queryCredentials } from '#lib/secrets/redact-call.ts'
import { looksLikeKey, redact, SECRET_MIN_CHARS } from '#lib/secrets/redact.ts'
import { PLACEHOLDER } from '#lib/template-text.ts'

type Members = Record<string, unknown>

/**
 * Finds what holds the value at a JSON pointer, if that is there. A value has one pointer: another spelling of it finds
 * nothing, so that pointers can be compared as text.
 */
function holderOf(root: Members, pointer: string): { holder: Members; member: string } | null {
  const path = splitPointer(pointer)
  if (toPointer(path) !== pointer) return null
  const member = path.pop() ?? ''
  let holder: unknown = root
  for (const segment of path) {
    if (!hasMember(holder, segment)) return null
    holder = holder[segment]
  }
  return hasMember(holder, member) ? { holder, member } : null
}

/** Matches the positions of a list as a JSON pointer writes them. */
const POSITION = /^(?:0|[1-9]\d*)$/

/** Returns whether JSON has the member: an own one of an object, or an element of a list, whose `length` is none. */
function hasMember(value: unknown, member: string): value is Members {
  if (!isBranch(value) || !Object.hasOwn(value, member)) return false
  return !Array.isArray(value) || POSITION.test(member)
}

/** Returns the value at a JSON pointer; undefined: there is none. */
export function valueAt(root: Members, pointer: string): unknown {
  const place = holderOf(root, pointer)
  return place === null ? undefined : place.holder[place.member]
}

/** Puts a value in place of the one that is there. */
export function putAt(root: Members, pointer: string, value: unknown): void {
  const place = holderOf(root, pointer)
  if (place !== null) place.holder[place.member] = value
}

/** Matches values of the flow's variables, in either format: nothing there is read as a template. */
const VARIABLE = /^(?:\/flow_definition)?\/variables\//

export function isVariable(pointer: string): boolean {
  return VARIABLE.test(pointer)
}

/**
 * Lists the places in a definition that hold a credential, by what they are called and what they look like: literal
 * headers among them, whatever they are called, but for those that say what is sent. What stands in placeholders alone is
 * filled in when it runs, unless it is text in them.
 */
export function secretPlaces(definition: Members): FieldError[] {
  const found: FieldError[] = []
  compare(definition, redact(definition), [], false, found)
  return found
}

type Path = readonly string[]

function compare(value: unknown, shown: unknown, path: Path, isHeader: boolean, found: FieldError[]): void {
  if (isBranch(value)) {
    for (const [member, each] of Object.entries(value)) {
      const below = [...path, member]
      const shownBelow = isBranch(shown) ? shown[member] : shown
      if (isInputSchema(below)) {
        compareSchema(each, shownBelow, below, false, found)
        continue
      }
      const isBelowHeaders = isHeader || path.at(-1)?.toLowerCase() === 'headers'
      compare(each, shownBelow, below, isBelowHeaders && !isHarmlessHeader(member), found)
    }
    return
  }
  const text = typeof value === 'string' ? value : ''
  if (value === '' || value === null || typeof value === 'boolean') return
  const isSuspect = isHeader || value !== shown
  const isUrl = path.at(-1)?.toLowerCase() === 'url'
  if (looksLikeKey(text) || (isSuspect && !isFilledIn(text)) || (isUrl && holdsCredential(text))) {
    found.push(secretAt(path))
  }
}

/** Tells what a run is asked for: names there are those of inputs, and say nothing of the texts below them. */
const INPUT_SCHEMA = /^(?:\/flow_definition)?\/trigger(?:s\/\d+)?\/input_schema$/

function isInputSchema(path: Path): boolean {
  return path.at(-1) === 'input_schema' && INPUT_SCHEMA.test(toPointer(path))
}

/** Members of a schema that are values of what it describes. */
const VALUES_IN_SCHEMA: readonly string[] = ['default', 'const', 'enum', 'examples']
/** Members of a schema whose members have names of their own. */
const NAMED_IN_SCHEMA: readonly string[] = ['properties', 'patternProperties', '$defs', 'definitions']

function compareSchema(
  value: unknown,
  shown: unknown,
  path: Path,
  isNamed: boolean,
  found: FieldError[],
): void {
  if (!isBranch(value)) {
    if (typeof value === 'string' && looksLikeKey(value)) found.push(secretAt(path))
    return
  }
  for (const [member, each] of Object.entries(value)) {
    const below = [...path, member]
    const shownBelow = isBranch(shown) ? shown[member] : shown
    if (!isNamed && VALUES_IN_SCHEMA.includes(member)) compare(each, shownBelow, below, false, found)
    else compareSchema(each, shownBelow, below, !isNamed && NAMED_IN_SCHEMA.includes(member), found)
  }
}

function secretAt(path: Path): FieldError {
  return { pointer: toPointer(path), detail: 'holds what looks like a secret' }
}

/** Returns whether text has placeholders and nothing beside them, but for what stands in front of a credential. */
function isFilledIn(text: string): boolean {
  return /^(?:bearer|basic|token)?$/i.test(withLiterals(text).trim()) && text.trim() !== ''
}

function holdsCredential(url: string): boolean {
  return queryCredentials(withLiterals(url)).length > 0
}

/** Matches text that a placeholder says itself, or what it says if there is nothing to fill in. */
const LITERAL = /(?:^\{\{-?\s*|\bdefault\s*:\s*)(?:"([^"]*)"|'([^']*)')/g

/** Returns text with what its placeholders hold as text, if that is as long as a secret, and nothing of the others. */
function withLiterals(text: string): string {
  return text.replace(PLACEHOLDER, (placeholder) =>
    [...placeholder.matchAll(LITERAL)]
      .map(([, double = '', single = '']) => double + single)
      .filter(({ length }) => length >= SECRET_MIN_CHARS)
      .join(''),
  )
}

function isBranch(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !isRawNumber(value)
}
