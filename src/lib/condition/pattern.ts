import { Buffer } from 'node:buffer'
import { LRUCache } from 'lru-cache'
import { RE2JS, RE2JSException } from 're2js'
import { MAX_MATCH_SUBJECT_BYTES, MAX_PATTERN_BYTES } from './operators/index.ts'

/**
 * Regular expressions of strangers, in time linear in the text: RE2 syntax, without back-references and look-around.
 * Linear is program × text, so both are bounded: measured, the worst program of 300 instructions takes 90 ms for
 * 8 KB, a usual one takes microseconds.
 */
const MAX_PROGRAM_INSTRUCTIONS = 300
/** Instructions × characters to a step: 300 ns at the very worst, and a hundredth of it as a rule. */
const WORK_PER_STEP = 8
/** The cost of compiling a pattern that is not in the cache: up to 1 ms. */
const COMPILE_STEPS = 4000
/** A compiled pattern holds its automaton, up to some 100 KB: they are bounded by their instructions together. */
const MAX_CACHED_INSTRUCTIONS = 100 * MAX_PROGRAM_INSTRUCTIONS
const MAX_CACHED = 1000

const compiled = new LRUCache<string, RE2JS>({
  max: MAX_CACHED,
  maxSize: MAX_CACHED_INSTRUCTIONS,
  maxEntrySize: MAX_PROGRAM_INSTRUCTIONS,
  sizeCalculation: (program) => Math.max(1, program.programSize()),
})

/** Returns what is wrong with a pattern and how to mend it, or null. */
export function checkPattern(pattern: string): string | null {
  if (Buffer.byteLength(pattern) > MAX_PATTERN_BYTES) {
    return `Shorten the pattern to ${MAX_PATTERN_BYTES} bytes.`
  }
  try {
    const size = compile(pattern).programSize()
    if (size <= MAX_PROGRAM_INSTRUCTIONS) return null
    return 'Repeat less: counted repetitions such as {1,100} make this pattern too large.'
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error
    return `Use RE2 syntax (no back-references, no look-around): ${error.message}.`
  }
}

/**
 * Returns whether the pattern is found in the text. Throws a RangeError for a pattern that `checkPattern` refuses, and
 * for a text of more than 8 KB.
 *
 * @param spend is told what it costs before it is done, by the size of the program and of the text
 */
export function matchPattern(pattern: string, subject: string, spend?: (steps: number) => void): boolean {
  const program = find(pattern, subject, spend)
  spend?.(Math.ceil((program.programSize() * (subject.length + 1)) / WORK_PER_STEP))
  return program.test(subject)
}

function find(pattern: string, subject: string, spend?: (steps: number) => void): RE2JS {
  if (subject.length > MAX_MATCH_SUBJECT_BYTES || Buffer.byteLength(subject) > MAX_MATCH_SUBJECT_BYTES) {
    throw new RangeError(`text of more than ${MAX_MATCH_SUBJECT_BYTES} bytes is not matched`)
  }
  const known = compiled.get(pattern)
  if (known !== undefined) return known
  spend?.(COMPILE_STEPS)
  const fault = checkPattern(pattern)
  if (fault !== null) throw new RangeError(fault)
  return compile(pattern)
}

function compile(pattern: string): RE2JS {
  const known = compiled.get(pattern)
  if (known !== undefined) return known
  const program = RE2JS.compile(pattern)
  compiled.set(pattern, program)
  return program
}
