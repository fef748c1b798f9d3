import type { Expression, TemplateNode } from '#lib/template/index.ts'
import {
  exactNode,
  expressionsOf,
  isTemplateRoot,
  listsOf,
  parseTree,
  templateReferences,
  visitTemplates,
} from '#lib/template/index.ts'
import { parsePath } from '#lib/json/path.ts'
import { checkExpression, typesOfExpression } from './expression-types.ts'
import type { Path } from '../problems.ts'
import type { Reader } from './reader.ts'
import { at, report, take } from './reader.ts'
import { splitPointer } from '../pointer.ts'

/** In one flow, with the reads of tags and filters: each is judged against everything that the flow knows. */
const MAX_EXPRESSIONS = 10_000

/** Compiles a value's templates, reports what is wrong with them and notes what they read. */
export function readTree(reader: Reader, value: unknown, path: Path): TemplateNode {
  const marks = countMarks(value)
  if (!countIn(reader, marks, path)) return parseTree(null).tree
  const { tree, problems } = parseTree(value)
  for (const { code, pointer, message } of problems) {
    report(reader, code, [...path, ...splitPointer(pointer)], message)
  }
  const references = templateReferences(tree)
  if (!countIn(reader, Math.max(0, references.length - marks), path)) return tree
  for (const { pointer, operand, hasDefault, alternatives, isThroughLoop } of references) {
    const steps = alternatives.flatMap(({ root, path: [id] }) => (root === 'steps' ? [String(id)] : []))
    reader.compilation.uses.push({
      stepId: reader.stepId,
      path: [...path, ...splitPointer(pointer)],
      root: operand.root,
      below: operand.path,
      text: operand.text,
      mayBeMissing: hasDefault,
      oneOf: steps,
      isThroughLoop,
      place: reader.place,
    })
  }
  visitTemplates(tree, ({ parts }, below) => {
    const place = [...path, ...below]
    for (const expression of expressionsOf(parts)) {
      if (expression.filters.length === 0 && expression.shiftMs === null) continue
      reader.compilation.typeChecks.push(() => {
        checkExpression(reader, expression, place)
      })
    }
    for (const list of listsOf(parts)) {
      reader.compilation.typeChecks.push(() => {
        const types = typesOfExpression(reader, list)
        if (!types || types.has('array')) return
        const message = `"for" needs a list: ${list.source.slice(0, 80)} is declared as ${[...types].join(' or ')}.`
        report(reader, 'wrong_type', place, message)
      })
    }
  })
  return tree
}

/** Returns whether the flow has room for so many more; the first that it has none for is a problem. */
function countIn(reader: Reader, more: number, path: Path): boolean {
  const { compilation } = reader
  const before = compilation.expressions
  compilation.expressions += more
  if (compilation.expressions <= MAX_EXPRESSIONS) return true
  if (before <= MAX_EXPRESSIONS) {
    report(reader, 'too_large', path, `Use at most ${MAX_EXPRESSIONS} expressions and tags in one flow.`)
  }
  return false
}

/** Counts what opens an expression or a tag, before any of them is read. */
function countMarks(value: unknown): number {
  let count = 0
  const open = [value]
  while (open.length > 0 && count <= MAX_EXPRESSIONS) {
    const current = open.pop()
    if (typeof current === 'string') {
      for (const mark of ['{{', '{%']) {
        for (let at = current.indexOf(mark); at !== -1; at = current.indexOf(mark, at + 2)) count++
      }
    } else if (typeof current === 'object' && current !== null) {
      for (const member of Object.values(current)) open.push(member)
    }
  }
  return count
}

/** Reads text in which templates may stand; null when it is left out. */
export function readTemplateText(reader: Reader, name: string): string | null {
  const value = take(reader, name)
  if (value === undefined) return null
  if (typeof value !== 'string') {
    report(reader, 'invalid_value', at(reader, name), `Give "${name}" text.`)
    return null
  }
  readTree(reader, value, at(reader, name))
  return value
}

/** Reads as `readTemplateText` does, and a bare path such as `trigger.starts_at` is short for `{{trigger.starts_at}}`. */
export function readValueText(reader: Reader, name: string): string | null {
  const value = take(reader, name)
  const expanded = typeof value === 'string' ? expandPath(value) : null
  if (expanded === null) return readTemplateText(reader, name)
  readTree(reader, expanded, at(reader, name))
  return expanded
}

/** Writes `trigger.items` as `{{trigger.items}}`; null for text that is not a path from a root. */
export function expandPath(text: string): string | null {
  return isTemplateRoot(parsePath(text)?.[0]) ? `{{${text}}}` : null
}

/** Returns the expression that a text consists of, for looking at its type. */
export function exactText(text: string): Expression | null {
  return exactNode(parseTree(text).tree)
}
