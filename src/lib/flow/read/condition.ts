import type { Condition } from '#lib/condition/index.ts'
import { checkCondition } from '#lib/condition/index.ts'
import { GROUP_NAMES } from '#lib/condition/shape.ts'
import { findOperator } from '#lib/condition/operators/index.ts'
import { parsePath } from '#lib/json/path.ts'
import { isTemplateRoot } from '#lib/template/index.ts'
import { reportDecided } from './decided.ts'
import { splitPointer } from '../pointer.ts'
import type { FlowProblemCode, Path } from '../problems.ts'
import type { Reader } from './reader.ts'
import { report } from './reader.ts'
import { readTree } from './template.ts'
import { checkOperatorFits } from './condition-types.ts'

/** Operators whose point is that the field may be missing. */
const ABOUT_ABSENCE = ['exists', 'not_exists', 'is_empty', 'is_not_empty']

type Test = Record<string, unknown>

/**
 * Checks a condition and gives it back with every field written from its root; null when it cannot run.
 *
 * @param bare the root of a field that names none: `trigger`, or in the filter of a wait `event.data`
 */
export function readCondition(
  reader: Reader,
  condition: unknown,
  path: Path,
  bare = 'trigger',
): Condition | null {
  const problems = checkCondition(condition, reader.compilation.conditions)
  for (const { code, pointer, detail } of problems) {
    const known: FlowProblemCode = code === 'invalid_field' ? 'invalid_path' : code
    report(reader, known, [...path, ...splitPointer(pointer)], detail)
  }
  if (problems.some(({ code }) => code !== 'unknown_property')) return null
  reportDecided(reader, condition as Condition, path)
  return root(reader, condition as Test, path, bare, false)
}

function root(reader: Reader, condition: Test, path: Path, bare: string, isItem: boolean): Condition {
  for (const group of GROUP_NAMES) {
    if (!Object.hasOwn(condition, group)) continue
    const inner = (condition[group] as Test[]).map((each, index) =>
      root(reader, each, [...path, group, index], bare, isItem),
    )
    return { [group]: inner } as unknown as Condition
  }
  const { field, operator, value } = condition as { field: string; operator: string; value?: unknown }
  const rooted = rootField(field, bare)
  if (parsePath(rooted) === null) {
    report(reader, 'invalid_path', [...path, 'field'], 'Shorten the path to 256 characters.')
  }
  noteField(reader, rooted, [...path, 'field'], operator, isItem)
  if (!isItem) checkOperatorFits(reader, rooted, condition, path)
  if (value === undefined) return { field: rooted, operator }
  return { field: rooted, operator, value: rootOperand(reader, operator, value, [...path, 'value'], bare) }
}

function rootOperand(reader: Reader, operator: string, value: unknown, path: Path, bare: string): unknown {
  const type = findOperator(operator)?.operand
  const isObject = typeof value === 'object' && value !== null
  if (type === 'condition' && isObject) return root(reader, value as Test, path, bare, true)
  if (type === 'count' && isObject && Object.hasOwn(value, 'where')) {
    const { where, ...count } = value as { where: Test }
    readTree(reader, count, path)
    return { ...count, where: root(reader, where, [...path, 'where'], bare, true) }
  }
  readTree(reader, value, path)
  return value
}

function rootField(field: string, bare: string): string {
  return isTemplateRoot(parsePath(field)?.[0]) ? field : `${bare}.${field}`
}

function noteField(reader: Reader, field: string, path: Path, operator: string, isItem: boolean): void {
  const [name, ...below] = parsePath(field) ?? []
  if (!isTemplateRoot(name) || (isItem && name === 'item')) return
  if (name === 'now' || (name === 'steps' && below[1] !== 'output')) {
    const message =
      name === 'now'
        ? 'Test a time of the data with before, after or within_last: "now" is no field.'
        : 'Write what a step gave as steps.<id>.output.'
    report(reader, 'invalid_path', path, message)
    return
  }
  reader.compilation.uses.push({
    stepId: reader.stepId,
    path,
    root: name,
    below,
    text: field,
    mayBeMissing: ABOUT_ABSENCE.includes(operator),
    place: reader.place,
  })
}
