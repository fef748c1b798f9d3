import type { FilterDefinition } from './filters/filter.ts'
import type { Path } from '#lib/json/path.ts'

/** What a path in a template starts from. */
export const TEMPLATE_ROOTS = [
  'trigger',
  'steps',
  'variables',
  'item',
  'event',
  'execution',
  'tenant',
  'now',
] as const
export type TemplateRoot = (typeof TEMPLATE_ROOTS)[number]

export function isTemplateRoot(name: unknown): name is TemplateRoot {
  return TEMPLATE_ROOTS.includes(name as TemplateRoot)
}

export interface PathOperand {
  readonly kind: 'path'
  readonly root: TemplateRoot
  /** Below the root. */
  readonly path: Path
  /** As written. */
  readonly text: string
}

export interface LiteralOperand {
  readonly kind: 'literal'
  /** Text, a number, a raw number, a boolean or null. */
  readonly value: unknown
}

export type Operand = PathOperand | LiteralOperand

export interface FilterCall {
  readonly filter: FilterDefinition
  readonly args: readonly Operand[]
}

/** What stands between `{{` and `}}`. */
export interface Expression {
  readonly source: string
  readonly operand: Operand
  /** What `+ 3 days` and `- 24 hours` add to a time; null: nothing is added, and it need not be a time. */
  readonly shiftMs: number | null
  readonly filters: readonly FilterCall[]
}

/** A compiled text: pieces of text and expressions in turn. */
export interface Template {
  readonly source: string
  readonly parts: readonly (string | Expression)[]
}

export type TemplateProblemCode =
  'template_syntax' | 'template_too_large' | 'unknown_root' | 'unknown_filter' | 'invalid_filter_argument'

export interface TemplateProblem {
  code: TemplateProblemCode
  /** What is wrong and how to mend it. */
  message: string
  /** Where in the text the expression starts, in UTF-16 units. */
  at: number
}

/** The one expression that the text consists of, whose value keeps its type; null for all other texts. */
export function exactExpression(template: Template): Expression | null {
  const [only] = template.parts
  return template.parts.length === 1 && typeof only === 'object' ? only : null
}
