import { type Condition, type ConditionContext, evaluateCondition } from '#lib/condition/index.ts'
import { earlierValue } from '#lib/condition/earlier-value.ts'
import type { StepErrorCode } from '#lib/error-codes.ts'
import type { FlowScope } from '#lib/flow/scope.ts'
import { zoneOf } from '#lib/flow/zone.ts'
import { matchPattern } from '#lib/condition/pattern.ts'
import type { StepBudget } from '#lib/step-budget.ts'
import { renderHtml, renderTemplate, renderUrl, type TemplateNode } from '#lib/template/index.ts'

/** Whoever has the compiled forms of a flow's templates. */
export interface Templates {
  template(tree: unknown): TemplateNode
}

/** A step cannot go on: its error port, the flow's handlers, or the end. */
export class StepError extends Error {
  readonly code: StepErrorCode | 'blocked'
  constructor(code: StepErrorCode | 'blocked', message: string) {
    super(message)
    this.code = code
  }
}

/** Fills in a tree that stands in the flow. @throws {StepError} `template_error` */
export function render(
  program: Templates,
  tree: unknown,
  scope: Partial<FlowScope>,
  now: Date,
  budget?: StepBudget,
): unknown {
  const rendered = renderTemplate(program.template(tree), scope, { now, budget, zone: zoneOf(scope) })
  if ('error' in rendered)
    throw new StepError('template_error', `${rendered.error.path || '/'}: ${rendered.error.message}`)
  return rendered.value
}

/** A URL whose values are segments of its path or parts of its query. @throws {StepError} */
export function renderUrlText(program: Templates, url: string, scope: Partial<FlowScope>, now: Date): string {
  const rendered = renderUrl(program.template(url), scope, { now, zone: zoneOf(scope) })
  if ('error' in rendered) throw new StepError('template_error', rendered.error.message)
  return rendered.url
}

/** An HTML text, in which values are text. @throws {StepError} `template_error` */
export function renderHtmlText(
  program: Templates,
  text: string,
  scope: Partial<FlowScope>,
  now: Date,
): string {
  const rendered = renderHtml(program.template(text), scope, { now, zone: zoneOf(scope) })
  if ('error' in rendered) throw new StepError('template_error', `/: ${rendered.error.message}`)
  return String(rendered.value)
}

export function renderText(program: Templates, text: string, scope: Partial<FlowScope>, now: Date): string {
  const value = render(program, text, scope, now)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/**
 * Tests a condition of the flow: the templates in its values are filled in first.
 *
 * @param budget of all that share it; a test that it did not do for is `exhausted`
 * @throws {StepError} `template_error`
 */
export function test(
  program: Templates,
  condition: Condition,
  scope: Partial<FlowScope>,
  now: Date,
  { budget, ...comparison }: Pick<ConditionContext, 'scalarsAsText' | 'budget'> = {},
): { result: boolean; note: string | null; exhausted: boolean } {
  let filled: Condition
  try {
    filled = withValues(program, condition, scope, now, budget)
  } catch (error) {
    if (error instanceof StepError && budget?.left === 0) {
      return { result: false, note: error.message, exhausted: true }
    }
    throw error
  }
  const { result, notes, exhausted } = evaluateCondition(filled, scope, {
    now,
    zone: zoneOf(scope),
    budget,
    ...comparison,
    matchPattern,
    earlier: ([root, ...below], spend) => {
      if (root === 'trigger') return earlierValue(scope.trigger, below, spend)
      return root === 'event' && below[0] === 'data'
        ? earlierValue(scope.event?.data, below.slice(1), spend)
        : undefined
    },
  })
  return { result, note: notes.length === 0 ? null : notes.join('; '), exhausted: exhausted === true }
}

function withValues(
  program: Templates,
  condition: Condition,
  scope: Partial<FlowScope>,
  now: Date,
  budget: StepBudget | undefined,
): Condition {
  const all = (conditions: Condition[]): Condition[] =>
    conditions.map((inner) => withValues(program, inner, scope, now, budget))
  if ('all' in condition) return { all: all(condition.all) }
  if ('any' in condition) return { any: all(condition.any) }
  if ('none' in condition) return { none: all(condition.none) }
  if (condition.value === undefined || program.template(condition.value).kind === 'literal') return condition
  return { ...condition, value: render(program, condition.value, scope, now, budget) }
}
