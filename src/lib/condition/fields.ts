import { GROUP_NAMES } from './shape.ts'
import { findOperator } from './operators/index.ts'
import { parsePath, type Path } from '#lib/json/path.ts'

/** One test of a condition: its place in it, and the field that it looks at. */
export interface ConditionTest {
  pointer: string
  test: { field: string; operator: string; value?: unknown }
  /** From the root on; of a test on a list's items, through the first item. Null: of no list that is known. */
  path: Path | null
}

const ITEM_ROOT = 'item'

/** The tests of a condition that `checkCondition` has found well-formed, those on items of lists, too. */
export function conditionTests(condition: unknown): ConditionTest[] {
  const tests: ConditionTest[] = []
  visit(condition, '', null, tests)
  return tests
}

function visit(condition: unknown, pointer: string, list: Path | null, tests: ConditionTest[]): void {
  if (typeof condition !== 'object' || condition === null) return
  const members = condition as Record<string, unknown>
  const group = GROUP_NAMES.find((name) => Array.isArray(members[name]))
  if (group !== undefined) {
    const conditions = members[group] as unknown[]
    for (const [index, each] of conditions.entries()) visit(each, `${pointer}/${group}/${index}`, list, tests)
    return
  }
  const { field, operator, value } = members
  if (typeof field !== 'string' || typeof operator !== 'string') return
  const path = pathOf(field, list)
  tests.push({ pointer, test: members as ConditionTest['test'], path })
  const operand = findOperator(operator)?.operand
  if (operand === 'condition') visit(value, `${pointer}/value`, path, tests)
  else if (operand === 'count' && typeof value === 'object' && value !== null) {
    visit((value as { where?: unknown }).where, `${pointer}/value/where`, path, tests)
  }
}

function pathOf(field: string, list: Path | null): Path | null {
  const path = parsePath(field)
  if (path === null || list === null || path[0] !== ITEM_ROOT) return path
  return [...list, 0, ...path.slice(1)]
}
