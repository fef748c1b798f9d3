import { Buffer } from 'node:buffer'
import { earlierValue } from '#lib/condition/earlier-value.ts'
import type { OperatorDefinition } from '#lib/condition/operators/index.ts'
import { toPointer } from '#lib/json/error.ts'
import { readBeside, readPath } from '#lib/json/path.ts'
import { withPlainNumbers } from '#lib/json/raw-number.ts'
import type { StepBudget } from '#lib/step-budget.ts'
import type { FilterContext } from './filters/filter.ts'
import { boundedJson, isFilterInput, measureJson, scalarText, TemplateFailure } from './filters/filter.ts'
import { applyFilter } from './filters/index.ts'
import { shiftTime } from './filters/format.ts'
import type {
  Expression,
  FilterCall,
  ForBlock,
  IfBlock,
  Operand,
  Template,
  TemplateParts,
  TemplateRoot,
  TemplateTest,
} from './syntax.ts'
import { exactExpression, LOOP_POSITION } from './syntax.ts'
import type { TemplateNode } from './tree.ts'
import { valueTypeOf } from '#lib/json/value-type.ts'

/** The values that paths start from. Nothing in it is ever read as a template. */
export type TemplateScope = Readonly<Partial<Record<TemplateRoot, unknown>>>

export interface RenderOptions {
  /** The time that `now` gives. */
  now: Date
  /** Of the whole result, as JSON. */
  maxBytes?: number
  /** That the rendering shares with others. */
  budget?: StepBudget | undefined
  /**
   * Makes a value fit for where it stands in a text, behind `before`; without it, it stands as it is. With it, a text
   * that is one expression is text, too.
   */
  encode?: ((text: string, expression: Expression, before: string) => string) | undefined
  /** Of times that have none themselves, and in which times are written; UTC if left out. */
  zone?: string | undefined
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
  readonly now: Date
  /** Names of the loops that it is in. */
  readonly locals: Map<string, unknown>
  readonly filters: FilterContext
  readonly path: (string | number)[]
  bytesLeft: number
  readonly encode: RenderOptions['encode']
}

/** The text that has been written so far. */
interface Output {
  text: string
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
  const { now, maxBytes = MAX_RENDERED_BYTES, budget, zone = 'UTC' } = options
  const allowed = Math.min(maxBytes * WORK_FACTOR, (budget?.left ?? Infinity) * WORK_PER_STEP)
  let work = allowed
  const spend = (steps: number): void => {
    work -= steps
    if (work < 0) throw new TemplateFailure('takes too much work')
  }
  const rendering: Rendering = {
    scope,
    now,
    locals: new Map(),
    filters: { maxChars: maxBytes, spend, zone },
    path: [],
    bytesLeft: maxBytes,
    encode: options.encode,
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
  const exact = rendering.encode === undefined ? exactExpression(template) : null
  if (exact) {
    const value = evaluate(exact, rendering)
    takeBytes(measureJson(value, rendering.bytesLeft), rendering)
    return value
  }
  const output: Output = { text: '' }
  renderParts(template.parts, output, rendering)
  return output.text
}

function renderParts(parts: TemplateParts, output: Output, rendering: Rendering): void {
  for (const part of parts) {
    if (typeof part === 'string') write(part, output, rendering)
    else if (part.kind === 'expression') write(encoded(part, output.text, rendering), output, rendering)
    else if (part.kind === 'for') renderFor(part, output, rendering)
    else renderIf(part, output, rendering)
  }
}

function write(piece: string, output: Output, rendering: Rendering): void {
  if (piece.length > rendering.bytesLeft) takeBytes(piece.length, rendering)
  takeBytes(Buffer.byteLength(piece), rendering)
  output.text += piece
}

function renderFor(block: ForBlock, output: Output, rendering: Rendering): void {
  const { name, body, otherwise } = block
  const items = listOf(block, rendering)
  if (items.length === 0) {
    if (otherwise) renderParts(otherwise, output, rendering)
    return
  }
  const { locals } = rendering
  const [outer, outerPosition] = [locals.get(name), locals.get(LOOP_POSITION)]
  const { length } = items
  for (const [index0, item] of items.entries()) {
    rendering.filters.spend(CALL_COST)
    const isLast = index0 === length - 1
    locals.set(name, item)
    locals.set(LOOP_POSITION, { index: index0 + 1, index0, first: index0 === 0, last: isLast, length })
    renderParts(body, output, rendering)
  }
  locals.set(name, outer)
  locals.set(LOOP_POSITION, outerPosition)
  // Outside of the loop the name is read from the scope again.
  if (outer === undefined) locals.delete(name)
}

/** A list that is missing has no items where the template says what holds then. */
function listOf({ list, otherwise }: ForBlock, rendering: Rendering): readonly unknown[] {
  const value = valueOf(list, rendering)
  if (Array.isArray(value)) return value
  if (value === undefined || value === null) {
    if (otherwise !== null) return []
    const missing = value === null ? 'null' : 'missing'
    throw new TemplateFailure(`${show(list)} is ${missing}: say by {% else %} what holds without a list`)
  }
  throw new TemplateFailure(`${show(list)} is ${valueTypeOf(value)}, and "for" needs a list`)
}

function renderIf({ branches }: IfBlock, output: Output, rendering: Rendering): void {
  for (const { anyOf, body } of branches) {
    if (anyOf !== null && !anyOf.some((all) => all.every((test) => holds(test, rendering)))) continue
    renderParts(body, output, rendering)
    return
  }
}

function holds({ subject, operator, operands }: TemplateTest, rendering: Rendering): boolean {
  const value = valueOf(subject, rendering)
  const spend = (steps: number): void => {
    rendering.filters.spend(steps * WORK_PER_STEP)
  }
  if (operator === null) return isThere(value)
  const { zone } = rendering.filters
  const previous = operator.needsEarlier ? earlierOf(subject, rendering, spend) : undefined
  const operand = operandOf(operator, operands, rendering)
  return operator.evaluate(value, operand, { now: rendering.now, zone, previous, spend })
}

/** Reads the operand of a test; a missing value is an error, as everywhere. */
function operandOf(
  { operand }: OperatorDefinition,
  operands: readonly Expression[],
  rendering: Rendering,
): unknown {
  const values = operands.map((each) => evaluate(each, rendering))
  const isSeveral = operand === 'list' || operand === 'range'
  return isSeveral && !(values.length === 1 && Array.isArray(values[0])) ? values : values[0]
}

/** Nothing is neither there nor true. */
function isThere(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === '') return false
  if (Array.isArray(value)) return value.length > 0
  if (valueTypeOf(value) !== 'object') return true
  for (const name in value) if (Object.hasOwn(value, name)) return true
  return false
}

function earlierOf(
  { operand, filters }: Expression,
  { scope }: Rendering,
  spend: (steps: number) => void,
): { value: unknown } | undefined {
  if (operand.kind !== 'path' || filters.length > 0) return undefined
  const { root, path } = operand
  if (root === 'trigger') return earlierValue(scope.trigger, path, spend)
  if (root !== 'event' || path[0] !== 'data') return undefined
  return earlierValue(readPath(scope.event, ['data']), path.slice(1), spend)
}

function encoded(expression: Expression, before: string, rendering: Rendering): string {
  const text = toText(expression, evaluate(expression, rendering), rendering)
  if (text.length > rendering.bytesLeft) takeBytes(text.length, rendering)
  return rendering.encode === undefined ? text : rendering.encode(text, expression, before)
}

function toText(expression: Expression, value: unknown, rendering: Rendering): string {
  if (value === null) {
    throw new TemplateFailure(`${show(expression)} is null: give it a default, such as | default: ""`)
  }
  const type = valueTypeOf(value)
  return type === 'list' || type === 'object' ? boundedJson(value, rendering.filters) : scalarText(value)
}

function evaluate(expression: Expression, rendering: Rendering): unknown {
  const value = valueOf(expression, rendering)
  if (value === undefined) {
    throw new TemplateFailure(`${show(expression)} is missing: give it a default, such as | default: ""`)
  }
  return value
}

/** Undefined: it is missing. */
function valueOf(expression: Expression, rendering: Rendering): unknown {
  rendering.filters.spend(CALL_COST)
  let value = read(expression.operand, rendering)
  if (expression.shiftMs !== null && value !== undefined && value !== null) {
    if (!isFilterInput(value, ['time'])) {
      throw new TemplateFailure(
        `${show(expression)} adds a duration to ${valueTypeOf(value)} that is not a time`,
      )
    }
    value = guarded(expression, () => {
      const { zone, spend } = rendering.filters
      return shiftTime(value, expression.shiftMs ?? 0, zone, spend)
    })
  }
  for (const call of expression.filters) value = pass(call, value, expression, rendering)
  return value
}

/** Lets what is missing or null go past every filter, up to the `default` that takes its place. */
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
  if (operand.kind === 'local') return readPath(rendering.locals.get(operand.name), operand.path)
  if (operand.root === 'now') return rendering.now.toISOString()
  if (!Object.hasOwn(rendering.scope, operand.root)) return undefined
  const value = readPath(rendering.scope[operand.root], operand.path)
  return value === undefined ? readBeside(rendering.scope, [operand.root, ...operand.path]) : value
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
