import type { Condition } from '#lib/condition/index.ts'
import type { EventScope, FlowScope } from '#lib/flow/scope.ts'
import { zoneOf } from '#lib/flow/zone.ts'
import type { StepBudget } from '#lib/step-budget.ts'
import { parsePath } from '#lib/json/path.ts'
import { compileTemplateTree, type TemplateNode, templateReferences } from '#lib/template/index.ts'
import { StepError, test } from '../run/evaluate.ts'

/** The most that the filter of one wait may cost: one that needs more is passed over, which the wait says. */
export const WAIT_STEPS = 20_000

/** A condition that is tested beside a wait's hash, with as much of the flow's scope as it asks for. */
export interface StoredFilter {
  condition: Condition
  scope: Partial<FlowScope>
}

/** @param condition its `event` will be the one that arrives */
export function storedFilter(condition: Condition | null, scope: FlowScope): StoredFilter | null {
  if (condition === null) return null
  const kept: Partial<FlowScope> = {}
  for (const [root, member] of referencesOf(condition)) {
    if (root === 'steps') {
      const output = member === undefined ? undefined : scope.steps[member]
      if (member !== undefined && output !== undefined) (kept.steps ??= {})[member] = output
    } else if (root !== 'event' && Object.hasOwn(scope, root)) {
      Object.assign(kept, { [root]: scope[root as keyof FlowScope] })
    }
  }
  const zone = zoneOf(scope)
  return { condition, scope: zone === 'UTC' ? kept : { ...kept, zone } }
}

/** Why a wait passed over an event of its type: its filter could not be tested with it, or it is missed by a trifle. */
export interface Untested {
  /**
   * `filter_mismatch`: an operator met a value that it does not fit, or a value of the filter does not come out; `near_miss`: the
   * values that are waited for are spelled in another way.
   */
  reason: 'filter_budget' | 'filter_mismatch' | 'near_miss'
  message: string
}

const MESSAGE_MAX_CHARS = 500

/**
 * Tells whether the event meets it. Ids compare as text, as in the wait's match: the two sides may write one thing's id in two
 * ways. What cannot be tested with this event does not meet it.
 */
export function meetsFilter(
  filter: StoredFilter | null,
  event: EventScope,
  now: Date,
  budget: StepBudget,
): boolean | Untested {
  if (filter === null) return true
  try {
    const templates = { template: (tree: unknown) => compile(tree, budget) }
    const { result, note, exhausted } = test(templates, filter.condition, { ...filter.scope, event }, now, {
      budget,
      scalarsAsText: true,
    })
    if (exhausted) return untested('filter_budget', note ?? '')
    return result || note === null ? result : untested('filter_mismatch', note)
  } catch (error) {
    if (error instanceof StepError) return untested('filter_mismatch', error.message)
    throw error
  }
}

export function untested(reason: Untested['reason'], message: string): Untested {
  return { reason, message: message.slice(0, MESSAGE_MAX_CHARS).toWellFormed().replaceAll('\0', '') }
}

/** Root and first member of all that a condition reads, by its fields and by the templates in its values. */
function referencesOf(condition: Condition): [root: string, member: string | undefined][] {
  if ('all' in condition) return condition.all.flatMap(referencesOf)
  if ('any' in condition) return condition.any.flatMap(referencesOf)
  if ('none' in condition) return condition.none.flatMap(referencesOf)
  const field = parsePath(condition.field) ?? []
  const values = condition.value === undefined ? [] : templateReferences(compile(condition.value))
  return [
    [String(field[0]), field[1] === undefined ? undefined : String(field[1])],
    ...values.map(({ operand }): [string, string | undefined] => [
      operand.root,
      operand.path[0] === undefined ? undefined : String(operand.path[0]),
    ]),
  ]
}

/** Characters of a template that are compiled for one step. */
const CHARS_PER_STEP = 4

function compile(tree: unknown, budget?: StepBudget): TemplateNode {
  if (budget !== undefined && typeof tree === 'string') budget.take(Math.ceil(tree.length / CHARS_PER_STEP))
  const result = compileTemplateTree(tree)
  if ('problems' in result) throw new StepError('template_error', result.problems[0]?.message ?? '')
  return result.template
}
