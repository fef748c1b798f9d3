import { Buffer } from 'node:buffer'
import { GROUP_NAMES, MAX_CONDITION_DEPTH, MAX_CONDITION_TESTS } from './shape.ts'
import { toPointer } from '#lib/json/error.ts'
import type { OperandType } from './operator.ts'
import { isOperand } from './operator.ts'
import type { OperatorName } from './operators/index.ts'
import {
  COUNT_OPERATORS,
  findOperator,
  MAX_NEEDLE_CHARS,
  MAX_PATTERN_BYTES,
  OPERATORS,
} from './operators/index.ts'
import { parsePath } from '#lib/json/path.ts'
import { parseTime } from '#lib/time.ts'
import { compareNumbers, valueTypeOf } from '#lib/json/value-type.ts'
import { holdsTemplate } from '#lib/template-text.ts'

export type ConditionProblemCode =
  | 'condition_malformed'
  | 'condition_too_deep'
  | 'condition_too_large'
  | 'condition_empty'
  | 'unknown_property'
  | 'unknown_operator'
  | 'operator_unavailable'
  | 'invalid_field'
  | 'missing_operand'
  | 'extra_operand'
  | 'invalid_operand'
  | 'unsafe_pattern'

/** A fault in a condition: its place, and in `detail` how to mend it. */
export interface ConditionProblem {
  pointer: string
  code: ConditionProblemCode
  detail: string
}

export interface CheckConditionOptions {
  /** Says what is wrong with a pattern, or null; without it `matches` is not available. */
  checkPattern?: (pattern: string) => string | null
  /** Paths to name as examples; those of flows if left out. */
  fieldExamples?: string
}

const FLOW_FIELD_EXAMPLES = '"trigger.customer.email" or "trigger.items[0].sku"'

type Path = readonly (string | number)[]

interface Check {
  readonly options: CheckConditionOptions
  readonly problems: ConditionProblem[]
  tests: number
}

const MAX_LISTED_VALUES = 100
const EXPECTED: Readonly<Record<OperandType, string>> = {
  any: 'a value',
  text: 'text',
  number: 'a number',
  range: 'two numbers or two times, the lower one first: [low, high]',
  time: 'an ISO 8601 time such as "2026-03-01T10:00:00Z", or seconds or milliseconds since 1970',
  duration: 'a duration of at most 366 days such as "3 days" or "PT72H"',
  list: `a list of 1 to ${MAX_LISTED_VALUES} values`,
  pattern: `a regular expression of at most ${MAX_PATTERN_BYTES} bytes`,
  condition: 'a condition on each item, such as { "field": "item.price", "operator": "gt", "value": 100 }',
  count: 'a number or { "operator": "gte", "value": 3 }',
}

/**
 * Everything that is wrong with a condition, or an empty list. A value that holds a template is only
 * known at run time and fits every operator here.
 */
export function checkCondition(condition: unknown, options: CheckConditionOptions = {}): ConditionProblem[] {
  const check: Check = { options, problems: [], tests: 0 }
  visit(condition, [], 1, check)
  return check.problems
}

function visit(condition: unknown, path: Path, depth: number, check: Check): void {
  if (valueTypeOf(condition) !== 'object') {
    const detail =
      'Write { "field", "operator", "value" } or one of { "all" }, { "any" }, { "none" } with a list.'
    report(check, path, 'condition_malformed', detail)
    return
  }
  const members = condition as Record<string, unknown>
  const group = GROUP_NAMES.find((name) => Object.hasOwn(members, name))
  if (group === undefined) {
    visitTest(members, path, depth, check)
    return
  }

  refuseOthers(members, [group], path, check)
  const conditions = members[group]
  if (!Array.isArray(conditions)) {
    report(check, [...path, group], 'condition_malformed', `Give "${group}" a list of conditions.`)
    return
  }
  if (conditions.length === 0) {
    report(check, [...path, group], 'condition_empty', `Put a condition into "${group}", or remove it.`)
    return
  }
  if (isTooDeep(depth, [...path, group], check)) return
  for (const [index, each] of conditions.entries()) {
    if (check.tests > MAX_CONDITION_TESTS) return
    visit(each, [...path, group, index], depth + 1, check)
  }
}

function visitTest(test: Record<string, unknown>, path: Path, depth: number, check: Check): void {
  check.tests++
  if (check.tests > MAX_CONDITION_TESTS) {
    const detail = `Use at most ${MAX_CONDITION_TESTS} tests; "in" takes a list of values.`
    report(check, path, 'condition_too_large', detail)
    return
  }
  refuseOthers(test, ['field', 'operator', 'value'], path, check)
  if (typeof test['field'] !== 'string' || parsePath(test['field']) === null) {
    const detail = `Write a path such as ${check.options.fieldExamples ?? FLOW_FIELD_EXAMPLES}, up to 256 characters.`
    report(check, [...path, 'field'], 'invalid_field', detail)
  }
  const operator = findOperator(test['operator'])
  if (!operator) {
    const detail = `Use one of ${[...OPERATORS.keys()].join(', ')}.`
    report(check, [...path, 'operator'], 'unknown_operator', detail)
    return
  }
  if (operator.needsPatternEngine && !check.options.checkPattern) {
    const detail = `"${operator.name}" is not available here; use contains, starts_with or ends_with.`
    report(check, [...path, 'operator'], 'operator_unavailable', detail)
    return
  }
  const valuePath = [...path, 'value']
  if (operator.operand === null) {
    if (Object.hasOwn(test, 'value')) {
      report(check, valuePath, 'extra_operand', `Remove "value": "${operator.name}" takes none.`)
    }
  } else if (!Object.hasOwn(test, 'value')) {
    const detail = `Add "value": "${operator.name}" needs ${EXPECTED[operator.operand]}.`
    report(check, path, 'missing_operand', detail)
  } else {
    visitOperand(operator.name, operator.operand, test['value'], valuePath, depth, check)
  }
}

function visitOperand(
  name: OperatorName,
  type: OperandType,
  value: unknown,
  path: Path,
  depth: number,
  check: Check,
): void {
  if (holdsTemplate(value)) return
  if (!fits(value, type)) {
    report(check, path, 'invalid_operand', `"${name}" needs ${EXPECTED[type]}, not ${valueTypeOf(value)}.`)
    return
  }
  if ((name === 'contains' || name === 'not_contains') && isLongText(value)) {
    const detail = `"${name}" looks for at most ${MAX_NEEDLE_CHARS} characters: shorten the text.`
    report(check, path, 'invalid_operand', detail)
  } else if (type === 'pattern') {
    const fault = check.options.checkPattern?.(value as string)
    if (fault) report(check, path, 'unsafe_pattern', fault)
  } else if (type === 'condition') {
    if (!isTooDeep(depth, path, check)) visit(value, path, depth + 1, check)
  } else if (type === 'count' && valueTypeOf(value) === 'object') {
    visitCount(value as Record<string, unknown>, path, depth, check)
  }
}

function visitCount(count: Record<string, unknown>, path: Path, depth: number, check: Check): void {
  refuseOthers(count, ['operator', 'value', 'where'], path, check)
  const operator = COUNT_OPERATORS.includes(count['operator'] as string)
    ? findOperator(count['operator'])
    : undefined
  if (!operator) {
    const detail = `Compare the number of items by one of ${COUNT_OPERATORS.join(', ')}.`
    report(check, [...path, 'operator'], 'unknown_operator', detail)
  } else {
    const type = operator.operand === 'range' ? 'range' : 'number'
    const { value } = count
    const isNumeric =
      type === 'number' || (Array.isArray(value) && value.every((end) => typeof end === 'number'))
    if (!holdsTemplate(value) && !(fits(value, type) && isNumeric)) {
      const wanted = type === 'range' ? 'two numbers, the lower one first' : 'a number'
      report(
        check,
        [...path, 'value'],
        'invalid_operand',
        `Give ${wanted} to compare the number of items with.`,
      )
    }
  }
  if (Object.hasOwn(count, 'where') && !isTooDeep(depth, path, check)) {
    visit(count['where'], [...path, 'where'], depth + 1, check)
  }
}

function fits(value: unknown, type: OperandType): boolean {
  if (type === 'list') return Array.isArray(value) && value.length > 0 && value.length <= MAX_LISTED_VALUES
  if (type === 'pattern') return typeof value === 'string' && Buffer.byteLength(value) <= MAX_PATTERN_BYTES
  if (type !== 'range') return isOperand(value, type)
  if (!Array.isArray(value) || value.length !== 2) return false
  if (value.some(holdsTemplate)) {
    return value.every((end) => holdsTemplate(end) || isOperand(end, 'number') || isOperand(end, 'time'))
  }
  if (!isOperand(value, 'range')) return false
  const [low, high] = value as [unknown, unknown]
  if (typeof low === 'string') return Number(parseTime(low)) <= Number(parseTime(String(high)))
  return compareNumbers(low, high) <= 0
}

function isLongText(value: unknown): boolean {
  return typeof value === 'string' && value.length > MAX_NEEDLE_CHARS
}

function isTooDeep(depth: number, path: Path, check: Check): boolean {
  if (depth <= MAX_CONDITION_DEPTH) return false
  const detail = `Nest at most ${MAX_CONDITION_DEPTH} groups and conditions on items in one another.`
  report(check, path, 'condition_too_deep', detail)
  return true
}

function refuseOthers(members: object, known: readonly string[], path: Path, check: Check): void {
  for (const name of Object.keys(members)) {
    if (check.problems.length > MAX_CONDITION_TESTS) return
    if (known.includes(name)) continue
    report(check, [...path, name], 'unknown_property', `Remove it: only ${known.join(', ')} can stand here.`)
  }
}

function report(check: Check, path: Path, code: ConditionProblemCode, detail: string): void {
  check.problems.push({ pointer: toPointer(path), code, detail })
}
