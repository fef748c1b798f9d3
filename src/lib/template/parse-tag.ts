import {
  findOperator,
  isOperand,
  type OperatorDefinition,
  OPERATORS,
} from '#lib/condition/operators/index.ts'
import {
  type Cursor,
  isNext,
  match,
  nextWord,
  shorten,
  skipSpace,
  syntax,
  SyntaxProblem,
  take,
} from './cursor.ts'
import { parseValue } from './parse-expression.ts'
import type { Expression, TemplateTest } from './syntax.ts'
import { isTemplateRoot, LOOP_POSITION } from './syntax.ts'

const TAGS = ['for', 'endfor', 'if', 'elsif', 'else', 'endif'] as const
export type Tag = (typeof TAGS)[number]

const MAX_TESTS = 20
/** Of one test, as of a condition's lists. */
const MAX_OPERANDS = 100
const TAG_NAME = /[a-z_]+/iy
const LOOP_NAME = /[a-z][a-z0-9_]*(?![\w.[-])/y
const SYMBOL = /==|!=|<>|>=|<=|>|<|=/y
const CONNECTIVE = /(?:and|or)(?!\w)/y
export const SYMBOLS: Readonly<Record<string, string>> = {
  '==': 'equals',
  '!=': 'not_equals',
  '<>': 'not_equals',
  '>': 'gt',
  '>=': 'gte',
  '<': 'lt',
  '<=': 'lte',
}
const RESERVED = new Set(['and', 'or', 'in', 'true', 'false', 'null', LOOP_POSITION])
/** Tags of other languages, each with what to write here. */
const ADVICE: Readonly<Record<string, string>> = {
  unless: 'turn the test round, as in {% if path not_exists %}',
  elseif: 'write elsif',
  elif: 'write elsif',
  end: 'write endif or endfor',
  assign: 'use a set step, and its variables',
  case: 'use if, elsif and else',
  raw: 'write literal braces as {{ "{{" }} and {{ "{%" }}',
  comment: 'give the step a description',
}

/** An operator of the table that a tag can write: whose value is written as one, two or a list of values. */
export function isWritable({ operand }: OperatorDefinition): boolean {
  return operand !== 'condition' && operand !== 'pattern'
}

/** The name of the tag, from behind `{%`. */
export function parseTagName(cursor: Cursor): Tag {
  skipSpace(cursor)
  const name = match(cursor, TAG_NAME)?.[0] ?? ''
  const tag = TAGS.find((each) => each === name)
  if (tag !== undefined) return tag
  const shown = name === '' ? nextWord(cursor) : name
  const advice = Object.hasOwn(ADVICE, shown)
    ? `${ADVICE[shown] ?? ''}.`
    : `use one of ${TAGS.join(', ')}; a literal {% is {{ "{%" }}.`
  throw syntax(`There is no tag "${shorten(shown)}": ${advice}`)
}

/** `name in list` of a `for`. */
export function parseFor(cursor: Cursor): { name: string; list: Expression } {
  skipSpace(cursor)
  const name = match(cursor, LOOP_NAME)?.[0]
  const isFree = name !== undefined && !RESERVED.has(name) && (name === 'item' || !isTemplateRoot(name))
  if (!isFree) {
    const taken = name === undefined ? '' : ` "${shorten(name)}" means something else.`
    throw syntax(`Name the item by lower-case letters: {% for line in trigger.items %}.${taken}`)
  }
  skipSpace(cursor)
  if (match(cursor, /in(?!\w)/y) === null) {
    throw syntax(`Write "in" and a list behind the name: {% for ${name} in trigger.items %}.`)
  }
  const list = parseValue(cursor)
  return { name, list }
}

/** The tests of an `if` or `elsif`: `and` binds closer than `or`. */
export function parseTests(cursor: Cursor): TemplateTest[][] {
  const anyOf: TemplateTest[][] = [[]]
  for (let count = 1; ; count++) {
    if (count > MAX_TESTS) {
      throw new SyntaxProblem('template_too_large', `Use at most ${MAX_TESTS} tests in one tag.`)
    }
    anyOf.at(-1)?.push(parseTest(cursor))
    skipSpace(cursor)
    const connective = match(cursor, CONNECTIVE)?.[0]
    if (connective === undefined) return anyOf
    if (connective === 'or') anyOf.push([])
  }
}

/** `%}`, or `-%}` that takes the white space behind it along. */
export function closeTag(cursor: Cursor, tag: Tag): { trims: boolean } {
  skipSpace(cursor)
  const trims = isNext(cursor, '-%}')
  if (trims) cursor.at++
  if (take(cursor, '%}')) return { trims }
  if (!cursor.text.includes('%}', cursor.at)) throw syntax('Close the tag with %}.')
  const shown = nextWord(cursor)
  if (tag === 'for') {
    const filters = '{% for line in trigger.items | slice: 0, 10 | reverse %}'
    throw syntax(`"${shown}" cannot stand here: what is done to the list are filters, as in ${filters}.`)
  }
  const example = tag === 'if' || tag === 'elsif' ? `${tag} trigger.total >= 100` : tag
  throw syntax(`"${shown}" cannot stand here: write {% ${example} %}.`)
}

function parseTest(cursor: Cursor): TemplateTest {
  const subject = parseValue(cursor)
  skipSpace(cursor)
  if (isNext(cursor, '%}') || isNext(cursor, '-%}') || isConnective(cursor)) {
    return { subject, operator: null, operands: [] }
  }
  const operator = parseOperator(cursor)
  const operands: Expression[] = []
  if (operator.operand !== null) {
    do {
      if (operands.length === MAX_OPERANDS) {
        const message = `Compare with at most ${MAX_OPERANDS} values, or with a path that leads to a list.`
        throw new SyntaxProblem('template_too_large', message)
      }
      operands.push(parseValue(cursor))
    } while (['list', 'range'].includes(operator.operand) && take(cursor, ','))
  }
  checkOperands(operator, operands)
  return { subject, operator, operands }
}

function isConnective(cursor: Cursor): boolean {
  const { at } = cursor
  const found = match(cursor, CONNECTIVE) !== null
  cursor.at = at
  return found
}

function parseOperator(cursor: Cursor): OperatorDefinition {
  if (!cursor.text.includes('%}', cursor.at)) throw syntax('Close the tag with %}.')
  const symbol = match(cursor, SYMBOL)?.[0]
  if (symbol === '=') throw syntax('Compare by ==: a single = means nothing here.')
  const word = symbol === undefined ? match(cursor, TAG_NAME)?.[0] : symbol
  const name = word !== undefined && Object.hasOwn(SYMBOLS, word) ? SYMBOLS[word] : word
  const operator = findOperator(name)
  if (operator !== undefined && isWritable(operator)) return operator
  const known = [...OPERATORS.values()].filter(isWritable).map((each) => each.name)
  const shown = shorten(word ?? nextWord(cursor))
  const what = operator === undefined ? 'is no operator' : 'is for condition steps'
  throw syntax(`"${shown}" ${what}: use ==, !=, >, >=, <, <= or one of ${known.join(', ')}.`)
}

/** Checks that literals fit; values of paths are known at rendering only. */
function checkOperands({ name, operand }: OperatorDefinition, operands: readonly Expression[]): void {
  const isSingle = operands.length === 1
  const values = operands.map((each) => literalOf(each))
  if (operand === 'range' && operands.length !== 2 && !(isSingle && values[0] === undefined)) {
    throw syntax(`"${name}" needs two values, as in {% if trigger.total ${name} 50, 200 %}.`)
  }
  for (const value of values) {
    if (value === undefined || operand === null || operand === 'list') continue
    const fits =
      operand === 'range'
        ? isOperand(value.value, 'number') || isOperand(value.value, 'time')
        : isOperand(value.value, operand)
    if (!fits) throw syntax(`"${name}" compares with a ${operand === 'range' ? 'number or time' : operand}.`)
  }
}

function literalOf({ operand, filters, shiftMs }: Expression): { value: unknown } | undefined {
  return operand.kind === 'literal' && filters.length === 0 && shiftMs === null ? operand : undefined
}
