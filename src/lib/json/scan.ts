const QUOTE = 34
const BACKSLASH = 92
const COLON = 58
const MINUS = 45
const DOT = 46
const DIGIT_0 = 48
const DIGIT_9 = 57
const LOWER_E = 101
const TO_LOWER = 32

/** Decimals of at most 15 significant digits survive a double unchanged; the point counts as one, to be cheap. */
const SAFE_NUMBER_CHARS = 15
/** From `0.0000001` on, `JSON.stringify` writes an exponent. */
const EXPONENT_CHARS = 9

export interface JsonScan {
  /** The scan stopped where the nesting went over the limit. */
  tooDeep: boolean
  /** Members of all objects in the text. Fewer in the parsed value means that a name was given twice. */
  members: number
  /** There is a number that a double may not carry unchanged. */
  hasLongNumber: boolean
  /** There is a number that `JSON.stringify` may write otherwise: a long one, `1.10`, `0.0000001` or `-0`. */
  hasSpelledNumber: boolean
}

/**
 * One cheap pass over JSON text, valid or not, before `JSON.parse` sees it. Depth has to be known first: four
 * million nested arrays (8 MB) cost `JSON.parse` 1.7 s, this pass stops at the 65th.
 *
 * Measured: 0.3 µs for 317 bytes, where `JSON.parse` takes 1.1 µs; 21 µs against 71 µs for 20 kB.
 */
export function scanJson(text: string, maxDepth: number): JsonScan {
  const hasEscapes = text.includes('\\')
  const end = text.length
  let depth = 0
  let members = 0
  let hasLongNumber = false
  let hasSpelledNumber = false
  let at = 0
  while (at < end) {
    const char = text.charCodeAt(at)
    if (char === QUOTE) {
      at = hasEscapes ? endOfString(text, at) : text.indexOf('"', at + 1) + 1
      if (at === 0) break
      continue
    }
    if (char >= DIGIT_0 && char <= DIGIT_9) {
      const start = at
      let next = char
      let last = char
      let hasPoint = false
      do {
        last = next
        if (next === DOT) hasPoint = true
        next = text.charCodeAt(++at)
      } while ((next >= DIGIT_0 && next <= DIGIT_9) || next === DOT)
      if (at - start > SAFE_NUMBER_CHARS || (next | TO_LOWER) === LOWER_E) hasLongNumber = true
      else if (char === DIGIT_0 || (hasPoint && last === DIGIT_0)) {
        if (
          hasPoint ? last === DIGIT_0 || at - start >= EXPONENT_CHARS : text.charCodeAt(start - 1) === MINUS
        ) {
          hasSpelledNumber = true
        }
      }
      continue
    }
    if (char === COLON) members++
    // Brackets and braces differ in one bit: [ 91, { 123, ] 93, } 125.
    else if ((char | TO_LOWER) === 123) {
      if (++depth > maxDepth)
        return { tooDeep: true, members, hasLongNumber, hasSpelledNumber: hasLongNumber }
    } else if ((char | TO_LOWER) === 125) depth--
    at++
  }
  return { tooDeep: false, members, hasLongNumber, hasSpelledNumber: hasSpelledNumber || hasLongNumber }
}

/** The position behind the string that opens at `at`; 0 when it never closes. */
export function endOfString(text: string, at: number): number {
  let close = text.indexOf('"', at + 1)
  while (close !== -1) {
    let before = close - 1
    while (text.charCodeAt(before) === BACKSLASH) before--
    const backslashes = close - 1 - before
    if (backslashes % 2 === 0) return close + 1
    close = text.indexOf('"', close + 1)
  }
  return 0
}

/** Members of all objects in a parsed value: 4.5 µs for a value of 20 kB, half the time of `Object.keys`. */
export function countMembers(value: unknown): number {
  let members = 0
  const open = [value]
  for (let current = open.pop(); current !== undefined; current = open.pop()) {
    if (Array.isArray(current)) {
      for (const item of current) if (typeof item === 'object' && item !== null) open.push(item)
    } else if (typeof current === 'object' && current !== null) {
      for (const key in current) {
        members++
        const member = (current as Record<string, unknown>)[key]
        if (typeof member === 'object' && member !== null) open.push(member)
      }
    }
  }
  return members
}

/**
 * Returns whether a parsed value holds a NUL, half a surrogate pair or the name `__proto__`. Escapes for those are
 * suspicious, but every emoji of PHP's `json_encode` is a pair of them.
 */
export function hasForbiddenText(value: unknown): boolean {
  const open = [value]
  for (let current = open.pop(); current !== undefined; current = open.pop()) {
    if (typeof current === 'string') {
      if (current.includes('\0') || !current.isWellFormed()) return true
    } else if (Array.isArray(current)) {
      for (const item of current) open.push(item)
    } else if (typeof current === 'object' && current !== null) {
      for (const [key, member] of Object.entries(current)) {
        if (key === '__proto__' || key.includes('\0') || !key.isWellFormed()) return true
        open.push(member)
      }
    }
  }
  return false
}
