import { Buffer } from 'node:buffer'
import { type OperatorContext, type OperatorSpec, refuse } from '../operator.ts'
import { OutOfSteps, textSteps } from '#lib/step-budget.ts'
import { TextSearch } from '#lib/text-search.ts'
import { isSameValue, valueTypeOf } from '#lib/json/value-type.ts'

/** The longest text that `contains` looks for in text: more is no word or sentence that a person means. */
export const MAX_NEEDLE_CHARS = 1000
/** The longest pattern that `matches` takes, so that one test stays cheap also in a linear engine. */
export const MAX_PATTERN_BYTES = 512
export const MAX_MATCH_SUBJECT_BYTES = 8192

/** Operators that look into text, or a list. */
export const TEXT_OPERATORS = {
  contains: {
    subjects: ['text', 'list'],
    operand: 'any',
    description: `Is text with this text (at most ${MAX_NEEDLE_CHARS} characters) in it, or a list with this item; upper and lower case differ.`,
    example: ['trigger.tags', 'vip'],
    test: contains,
  },
  not_contains: {
    subjects: ['text', 'list'],
    operand: 'any',
    whenMissing: true,
    description: 'Is text without this text, a list without this item, or missing.',
    example: ['trigger.tags', 'blocked'],
    test: (subject: string | unknown[], operand, context) =>
      isSearchable(subject, operand, context) && !contains(subject, operand, context),
  },
  starts_with: {
    subjects: ['text'],
    operand: 'text',
    description: 'Is text that starts with this text.',
    example: ['trigger.sku', 'SHOE-'],
    test: (subject: string, operand: string, context) => {
      context.spend?.(textSteps(operand.length))
      return subject.startsWith(operand)
    },
  },
  ends_with: {
    subjects: ['text'],
    operand: 'text',
    description: 'Is text that ends with this text.',
    example: ['trigger.email', '@example.com'],
    test: (subject: string, operand: string, context) => {
      context.spend?.(textSteps(operand.length))
      return subject.endsWith(operand)
    },
  },
  matches: {
    subjects: ['text'],
    operand: 'pattern',
    needsPatternEngine: true,
    description: `Is text of at most 8 KB in which the regular expression (RE2 syntax, at most 512 bytes) is found.`,
    example: ['trigger.postcode', '^[0-9]{5}$'],
    test: matches,
  },
} as const satisfies Record<string, OperatorSpec>

function isSearchable(subject: string | unknown[], operand: unknown, context: OperatorContext): boolean {
  if (typeof subject !== 'string') return true
  if (typeof operand !== 'string') {
    return refuse(context, `looks for ${valueTypeOf(operand)} in text: needs text`)
  }
  if (operand.length <= MAX_NEEDLE_CHARS) return true
  return refuse(context, `looks for more than ${MAX_NEEDLE_CHARS} characters in text`)
}

function contains(subject: string | unknown[], operand: unknown, context: OperatorContext): boolean {
  if (!isSearchable(subject, operand, context)) return false
  if (typeof subject === 'string') {
    const needle = operand as string
    context.spend?.(textSteps(subject.length + needle.length))
    return new TextSearch(needle).indexIn(subject) !== -1
  }
  return subject.some((item) => isSameValue(item, operand, context.spend))
}

function matches(subject: string, pattern: string, context: OperatorContext): boolean {
  if (!context.matchPattern)
    return refuse(context, 'is not available here: there is no regular expression engine')
  if (isLarger(pattern, MAX_PATTERN_BYTES)) return refuse(context, 'has a pattern of more than 512 bytes')
  if (isLarger(subject, MAX_MATCH_SUBJECT_BYTES)) return refuse(context, 'looks at text of more than 8 KB')
  try {
    return context.matchPattern(pattern, subject, context.spend)
  } catch (error) {
    if (error instanceof OutOfSteps) throw error
    return refuse(context, `cannot be tested: ${(error as Error).message}`)
  }
}

/** In UTF-8; longer text is not read. */
function isLarger(text: string, bytes: number): boolean {
  return text.length > bytes || Buffer.byteLength(text) > bytes
}
