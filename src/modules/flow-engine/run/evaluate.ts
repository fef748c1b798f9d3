import { type Condition, type ConditionContext, evaluateCondition } from '#lib/condition/index.ts'
import { earlierValue } from '#lib/condition/earlier-value.ts'
import type { FlowScope } from '#lib/flow/scope.ts'
import { matchPattern } from '#lib/condition/pattern.ts'
import { renderTemplate, type TemplateNode } from '#lib/template/index.ts'

/** Whoever has the compiled forms of a flow's templates. */
export interface Templates {
  template(tree: unknown): TemplateNode
}

/** A step cannot go on: its error port, the flow's handlers, or the end. */
export class StepError extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** Fills in a tree that stands in the flow. @throws {StepError} `template_error` */
export function render(program: Templates, tree: unknown, scope: Partial<FlowScope>, now: Date): unknown {
  const rendered = renderTemplate(program.template(tree), scope, { now })
  if ('error' in rendered)
    throw new StepError('template_error', `${rendered.error.path || '/'}: ${rendered.error.message}`)
  return rendered.value
}

export function renderText(program: Templates, text: string, scope: Partial<FlowScope>, now: Date): string {
  const value = render(program, text, scope, now)
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Tests a condition of the flow: the templates in its values are filled in first. */
export function test(
  program: Templates,
  condition: Condition,
  scope: Partial<FlowScope>,
  now: Date,
  comparison: Pick<ConditionContext, 'scalarsAsText'> = {},
): { result: boolean; note: string | null } {
  const { result, notes } = evaluateCondition(withValues(program, condition, scope, now), scope, {
    now,
    ...comparison,
    matchPattern,
    earlier: ([root, ...below], spend) => {
      if (root === 'trigger') return earlierValue(scope.trigger, below, spend)
      return root === 'event' && below[0] === 'data'
        ? earlierValue(scope.event?.data, below.slice(1), spend)
        : undefined
    },
  })
  return { result, note: notes.length === 0 ? null : notes.join('; ') }
}

function withValues(
  program: Templates,
  condition: Condition,
  scope: Partial<FlowScope>,
  now: Date,
): Condition {
  const all = (conditions: Condition[]): Condition[] =>
    conditions.map((inner) => withValues(program, inner, scope, now))
  if ('all' in condition) return { all: all(condition.all) }
  if ('any' in condition) return { any: all(condition.any) }
  if ('none' in condition) return { none: all(condition.none) }
  if (condition.value === undefined || program.template(condition.value).kind === 'literal') return condition
  return { ...condition, value: render(program, condition.value, scope, now) }
}
