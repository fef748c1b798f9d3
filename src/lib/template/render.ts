import { Buffer } from 'node:buffer'
import { toPointer } from '#lib/json/error.ts'
import { readPath } from '#lib/json/path.ts'
import { withPlainNumbers } from '#lib/json/raw-number.ts'
import type { StepBudget } from '#lib/step-budget.ts'
import type { FilterContext } from './filters/filter.ts'
import { boundedJson, isFilterInput, measureJson, scalarText, TemplateFailure } from './filters/filter.ts'
import { applyFilter } from './filters/index.ts'
import { shiftTime } from './filters/format.ts'
import type { Expression, FilterCall, Operand, Template, TemplateRoot } from './syntax.ts'
import { exactExpression } from './syntax.ts'
import type { TemplateNode } from './tree.ts'
import { valueTypeOf } from '#lib/json/value-type.ts'

/** What paths start from. Nothing in it is ever read as a template. */
export type TemplateScope = Readonly<Partial<Record<TemplateRoot, unknown>>>

export interface RenderOptions {
  /** What `now` is. */
  now: Date
  /** Of the whole result, as JSON. */
  maxBytes?: number
  /** That the rendering shares with others. */
  budget?: StepBudget | undefined
  /** Makes a value fit for where it stands in a text, behind `before`; without it, it stands as it is. */
  encode?: ((text: string, expression: Expression, before: string) => string) | undefined
}

export interface RenderError {
  /** A JSON pointer to the text in the tree. */
  path: string
  /** Says which expression failed and why, never a value. */
  message: string
}

export const MAX_RENDERED_BYTES = 256 * 1024
/** Characters that all filters of one rendering may read and write together, in multiples of its size limit. */
const WORK_FACTOR = 16
/** Characters' worth of work to a step of a budget. */
const WORK_PER_STEP = 20
/** In characters' worth of work, so that a great many expressions that make nothing are bounded, too. */
const CALL_COST = 10
const MAX_SHOWN_CHARS = 80

interface Rendering {
  readonly scope: TemplateScope
  readonly now: string
  readonly filters: FilterContext
  readonly path: (string | number)[]
  bytesLeft: number
  readonly encode: NonNullable<RenderOptions['encode']>
}

/**
 * Fills a compiled tree in. Never throws; stops at the first error, and as soon as the result would be too large or
 * the filters have worked too much, so that its time is bounded whatever the data is.
 */
export function renderTemplate(
  tree: TemplateNode,
  scope: TemplateScope,
  options: RenderOptions,
): { value: unknown } | { error: RenderError } {
  const { now, maxBytes = MAX_RENDERED_BYTES, budget } = options
  const allowed = Math.min(maxBytes * WORK_FACTOR, (budget?.left ?? Infinity) * WORK_PER_STEP)
  let work = allowed
  const spend = (steps: number): void => {
    work -= steps
    if (work < 0) throw new TemplateFailure('takes too much work')
  }
  const rendering: Rendering = {
    scope,
    now: now.toISOString(),
    filters: { maxChars: maxBytes, spend },
    path: [],
    bytesLeft: maxBytes,
    encode: options.encode ?? ((text) => text),
  }
  try {
    return { value: renderNode(tree, rendering) }
  } catch (error) {
    if (!(error instanceof TemplateFailure)) throw error
    return { error: { path: toPointer(rendering.path), message: error.message } }
  } finally {
    budget?.take(Math.ceil((allowed - work) / WORK_PER_STEP))
  }
}

function renderNode(node: TemplateNode, rendering: Rendering): unknown {
  switch (node.kind) {
    case 'literal':
      takeBytes(node.bytes, rendering)
      return node.value
    case 'template':
      return renderText(node.template, rendering)
    case 'list':
      takeBytes(2 + node.items.length, rendering)
      return node.items.map((item, index) => renderAt(index, item, rendering))
    case 'object': {
      const result: Record<string, unknown> = {}
      for (const [name, member] of node.members) {
        takeBytes(name.length + 4, rendering)
        const value = renderAt(name, member, rendering)
        // Assigned, a member of this name would become the prototype.
        if (name === '__proto__') Object.defineProperty(result, name, { value, enumerable: true })
        else result[name] = value
      }
      return result
    }
  }
}

function renderAt(segment: string | number, node: TemplateNode, rendering: Rendering): unknown {
  rendering.path.push(segment)
  const value = renderNode(node, rendering)
  rendering.path.pop()
  return value
}

function renderText(template: Template, rendering: Rendering): unknown {
  const exact = exactExpression(template)
  if (exact) {
    const value = evaluate(exact, rendering)
    takeBytes(measureJson(value, rendering.bytesLeft), rendering)
    return value
  }
  let text = ''
  for (const part of template.parts) {
    const piece = typeof part === 'string' ? part : encoded(part, text, rendering)
    if (piece.length > rendering.bytesLeft) takeBytes(piece.length, rendering)
    takeBytes(Buffer.byteLength(piece), rendering)
    text += piece
  }
  return text
}

function encoded(expression: Expression, before: string, rendering: Rendering): string {
  const text = toText(expression, evaluate(expression, rendering), rendering)
  if (text.length > rendering.bytesLeft) takeBytes(text.length, rendering)
  return rendering.encode(text, expression, before)
}

function toText(expression: Expression, value: unknown, rendering: Rendering): string {
  if (value === null) {
    throw new TemplateFailure(`${show(expression)} is null: give it a default, such as | default: ""`)
  }
  const type = valueTypeOf(value)
  return type === 'list' || type === 'object' ? boundedJson(value, rendering.filters) : scalarText(value)
}

function evaluate(expression: Expression, rendering: Rendering): unknown {
  rendering.filters.spend(CALL_COST)
  let value = read(expression.operand, rendering)
  if (expression.shiftMs !== null && value !== undefined && value !== null) {
    if (!isFilterInput(value, ['time'])) {
      throw new TemplateFailure(
        `${show(expression)} adds a duration to ${valueTypeOf(value)} that is not a time`,
      )
    }
    value = guarded(expression, () => shiftTime(value as string, expression.shiftMs ?? 0))
  }
  for (const call of expression.filters) value = pass(call, value, expression, rendering)
  if (value === undefined) {
    throw new TemplateFailure(`${show(expression)} is missing: give it a default, such as | default: ""`)
  }
  return value
}

/** What is missing or null goes past every filter, up to the `default` that takes its place. */
function pass(call: FilterCall, value: unknown, expression: Expression, rendering: Rendering): unknown {
  const { filter, args } = call
  const isAbsent = value === undefined || value === null
  if (filter.name === 'default') {
    if (!isAbsent && value !== '') return value
  } else if (isAbsent) return value
  if (!isFilterInput(value, filter.input)) {
    const wanted = filter.input.join(' or ')
    throw new TemplateFailure(
      `${show(expression)} gives "${filter.name}" a value that is ${valueTypeOf(value)}, not ${wanted}`,
    )
  }
  return guarded(expression, () => {
    rendering.filters.spend(CALL_COST)
    // A default that is missing itself leaves the value missing, for the next one.
    if (filter.name === 'default' && args.some((arg) => read(arg, rendering) === undefined)) return undefined
    const values = args.map((arg, index) => {
      const given = read(arg, rendering)
      if (given === undefined) throw new TemplateFailure(`gives "${filter.name}" an argument that is missing`)
      return filter.args[index]?.type === 'count' ? withPlainNumbers(given) : given
    })
    return applyFilter(filter, value, values, rendering.filters)
  })
}

function read(operand: Operand, rendering: Rendering): unknown {
  if (operand.kind === 'literal') return operand.value
  if (operand.root === 'now') return rendering.now
  if (!Object.hasOwn(rendering.scope, operand.root)) return undefined
  return readPath(rendering.scope[operand.root], operand.path)
}

function guarded(expression: Expression, run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    if (error instanceof TemplateFailure) {
      throw new TemplateFailure(`${show(expression)} ${error.message}`, { cause: error })
    }
    throw error
  }
}

function takeBytes(bytes: number, rendering: Rendering): void {
  rendering.bytesLeft -= bytes
  if (rendering.bytesLeft < 0) {
    const limit = `${rendering.filters.maxChars / 1024} KB`
    throw new TemplateFailure(`The result is larger than ${limit}: use less of the data.`)
  }
}

function show(expression: Expression): string {
  const { source } = expression
  return `{{${source.length > MAX_SHOWN_CHARS ? `${source.slice(0, MAX_SHOWN_CHARS)}…` : source}}}`
}
