import { MAX_CONDITION_DEPTH } from './shape.ts'
import type { OperatorContext } from './operators/index.ts'
import { findOperator } from './operators/index.ts'
import { parsePath, type Path, readBeside, readPath } from '#lib/json/path.ts'
import { OutOfSteps, StepBudget } from '#lib/step-budget.ts'

export { checkCondition } from './check.ts'
export type { CheckConditionOptions } from './check.ts'
export type { Condition } from './shape.ts'

/** Inside a condition on list items, the name of the item; it hides a member of the root with that name. */
const ITEM_ROOT = 'item'

/** The steps that one evaluation may take, some 10 ms: lists in lists multiply, and the process serves others too. */
export const MAX_CONDITION_STEPS = 100_000
const MAX_NOTES = 20

export interface ConditionContext extends Pick<
  OperatorContext,
  'now' | 'zone' | 'matchPattern' | 'scalarsAsText'
> {
  /** A field's value before the event, for `changed`; undefined: the event does not tell. */
  readonly earlier?:
    ((field: Path, spend: (steps: number) => void) => { readonly value: unknown } | undefined) | undefined
  /** That the evaluation shares with others; it takes no more of it than one evaluation may cost. */
  readonly budget?: StepBudget | undefined
}

export interface ConditionResult {
  result: boolean
  /** Reasons why tests could not be made and count as false: at most 20, without any value. */
  notes: string[]
  /** It was stopped, because it cost too much: `result` is false, and says nothing. */
  exhausted?: true
}

/**
 * Evaluates a condition on the values that its paths start from. Never throws and takes a bounded time: a malformed
 * condition, or one that costs more than 100,000 steps, is false with a note. Tests after the decisive one are not
 * made.
 */
export function evaluateCondition(
  condition: unknown,
  root: unknown,
  context: ConditionContext,
): ConditionResult {
  const notes: string[] = []
  const budget = new StepBudget(Math.min(MAX_CONDITION_STEPS, context.budget?.left ?? MAX_CONDITION_STEPS))
  try {
    const evaluation: Evaluation = { context, root, notes, spend: (steps) => budget.spend(steps) }
    const result = evaluate(condition, evaluation, [], 0)
    context.budget?.take(budget.spent)
    return { result, notes }
  } catch (error) {
    if (!(error instanceof OutOfSteps)) throw error
    context.budget?.take(budget.spent)
    return { result: false, notes: [...notes, 'stopped, because it costs too much work'], exhausted: true }
  }
}

interface Evaluation {
  readonly context: ConditionContext
  readonly root: unknown
  readonly notes: string[]
  readonly spend: (steps: number) => void
}

/** The item that `item` stands for; empty outside of lists. */
type Scope = readonly [item?: unknown]

function evaluate(condition: unknown, evaluation: Evaluation, scope: Scope, depth: number): boolean {
  evaluation.spend(1)
  // A test may stand in the deepest group, hence one level more than groups have.
  if (depth > MAX_CONDITION_DEPTH) return refuse(evaluation, 'condition', 'is nested too deep')
  if (typeof condition !== 'object' || condition === null) {
    return refuse(evaluation, 'condition', 'is not an object')
  }
  const group = condition as Record<string, unknown>
  const inner = (each: unknown): boolean => evaluate(each, evaluation, scope, depth + 1)
  if (Array.isArray(group['all'])) return group['all'].every(inner)
  if (Array.isArray(group['any'])) return group['any'].some(inner)
  if (Array.isArray(group['none'])) return !group['none'].some(inner)
  return evaluateTest(group, evaluation, scope, depth)
}

/** Parsed once for each test: the items of a list meet the same one thousands of times. */
const paths = new WeakMap<object, Path | null>()
const PARSE_STEPS = 20

function pathOf(test: Record<string, unknown>, evaluation: Evaluation): Path | null {
  const known = paths.get(test)
  if (known !== undefined) return known
  evaluation.spend(PARSE_STEPS)
  const path = typeof test['field'] === 'string' ? parsePath(test['field']) : null
  paths.set(test, path)
  return path
}

function evaluateTest(
  test: Record<string, unknown>,
  evaluation: Evaluation,
  scope: Scope,
  depth: number,
): boolean {
  const { field, operator: name, value } = test
  const path = pathOf(test, evaluation)
  if (!path) return refuse(evaluation, 'condition', 'has a field that is not a path')
  const operator = findOperator(name)
  if (!operator) return refuse(evaluation, String(field), 'has an unknown operator')

  evaluation.spend(path.length)
  const isItem = scope.length > 0 && path[0] === ITEM_ROOT
  const subject = isItem ? readPath(scope[0], path.slice(1)) : fromRoot(evaluation.root, path)
  return operator.evaluate(subject, value, {
    now: evaluation.context.now,
    zone: evaluation.context.zone,
    matchPattern: evaluation.context.matchPattern,
    scalarsAsText: evaluation.context.scalarsAsText,
    previous:
      isItem || !operator.needsEarlier ? undefined : evaluation.context.earlier?.(path, evaluation.spend),
    testItem: (condition, item) => evaluate(condition, evaluation, [item], depth + 1),
    note: (text) => void refuse(evaluation, `${String(field)} ${operator.name}`, text),
    spend: evaluation.spend,
  })
}

function fromRoot(root: unknown, path: Path): unknown {
  const value = readPath(root, path)
  return value === undefined ? readBeside(root, path) : value
}

function refuse(evaluation: Evaluation, what: string, why: string): false {
  if (evaluation.notes.length < MAX_NOTES) evaluation.notes.push(`${what}: ${why}`)
  return false
}
