import type { FilterDefinition } from './filters/filter.ts'
import type { OperatorDefinition } from '#lib/condition/operators/index.ts'
import type { Path } from '#lib/json/path.ts'

/** The first names of a template's paths. */
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
  /** Its position in the template's text. */
  readonly at: number
}

/** The name by which a loop's body reads the loop's position. */
export const LOOP_POSITION = 'forloop'

/** A name that a loop gives. */
export interface LocalOperand {
  readonly kind: 'local'
  /** Of the loop's item, or `forloop`. */
  readonly name: string
  /** Below it. */
  readonly path: Path
  /** As written. */
  readonly text: string
  /** The same through the first item of the loop's list, if that is a path; null: nothing is known of it. */
  readonly stands: PathOperand | null
}

export interface LiteralOperand {
  readonly kind: 'literal'
  /** Text, a number, a raw number, a boolean or null. */
  readonly value: unknown
}

export type Operand = PathOperand | LocalOperand | LiteralOperand

export interface FilterCall {
  readonly filter: FilterDefinition
  readonly args: readonly Operand[]
}

/** An expression between `{{` and `}}`, or in a tag. */
export interface Expression {
  readonly kind: 'expression'
  readonly source: string
  readonly operand: Operand
  /**
   * The milliseconds that `+ 3 days` and `- 24 hours` add to a time; null: nothing is added, and it need not be a
   * time.
   */
  readonly shiftMs: number | null
  readonly filters: readonly FilterCall[]
}

/** One test of an `if`. */
export interface TemplateTest {
  readonly subject: Expression
  /** Null: the subject stands alone, and holds if it is there and is neither empty nor false. */
  readonly operator: OperatorDefinition | null
  /** The operands to compare it with; of a list or a range: each of them. */
  readonly operands: readonly Expression[]
}

/** `{% for name in list %} … {% else %} … {% endfor %}` */
export interface ForBlock {
  readonly kind: 'for'
  readonly name: string
  readonly list: Expression
  readonly body: TemplateParts
  /** The parts for a list without items; null: then there is nothing, and a list that is missing is an error. */
  readonly otherwise: TemplateParts | null
}

export interface Branch {
  /** Holds if all tests of one of them hold; null: always, as `else` does. */
  readonly anyOf: readonly (readonly TemplateTest[])[] | null
  readonly body: TemplateParts
}

/** `{% if test %} … {% elsif test %} … {% else %} … {% endif %}`: the first branch that holds. */
export interface IfBlock {
  readonly kind: 'if'
  readonly branches: readonly Branch[]
}

export type TemplatePart = string | Expression | ForBlock | IfBlock
export type TemplateParts = readonly TemplatePart[]

/** A compiled text: pieces of text, expressions and blocks in turn. */
export interface Template {
  readonly source: string
  readonly parts: TemplateParts
}

export type TemplateProblemCode =
  'template_syntax' | 'template_too_large' | 'unknown_root' | 'unknown_filter' | 'invalid_filter_argument'

export interface TemplateProblem {
  code: TemplateProblemCode
  /** Says what is wrong and how to mend it. */
  message: string
  /** The start of the expression in the text, in UTF-16 units. */
  at: number
}

/** The one expression that the text consists of, whose value keeps its type; null for all other texts. */
export function exactExpression(template: Template): Expression | null {
  const [only] = template.parts
  const isExact = template.parts.length === 1 && typeof only === 'object' && only.kind === 'expression'
  return isExact ? only : null
}

/** All expressions in parts and in the blocks among them, in the order of the text. */
export function* expressionsOf(parts: TemplateParts): Generator<Expression, void> {
  for (const part of parts) {
    if (typeof part === 'string') continue
    if (part.kind === 'expression') yield part
    else if (part.kind === 'for') {
      yield part.list
      yield* expressionsOf(part.body)
      yield* expressionsOf(part.otherwise ?? [])
    } else {
      for (const { anyOf, body } of part.branches) {
        for (const { subject, operands } of anyOf?.flat() ?? []) yield* [subject, ...operands]
        yield* expressionsOf(body)
      }
    }
  }
}

/** The lists that loops go through. */
export function* listsOf(parts: TemplateParts): Generator<Expression, void> {
  for (const part of parts) {
    if (typeof part === 'string' || part.kind === 'expression') continue
    if (part.kind === 'for') yield part.list
    const inner =
      part.kind === 'for' ? [part.body, part.otherwise ?? []] : part.branches.map(({ body }) => body)
    for (const each of inner) yield* listsOf(each)
  }
}
