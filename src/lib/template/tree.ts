import { toPointer } from '#lib/json/error.ts'
import { isRawNumber } from '#lib/json/raw-number.ts'
import { measureJson } from './filters/filter.ts'
import { parseTemplate } from './parse.ts'
import type {
  Branch,
  Expression,
  Operand,
  PathOperand,
  Template,
  TemplateParts,
  TemplateProblem,
} from './syntax.ts'
import { exactExpression } from './syntax.ts'
import { holdsTemplate } from '#lib/template-text.ts'

/** A payload whose texts are compiled; values without a template are kept as they came. */
export type TemplateNode =
  | { readonly kind: 'literal'; readonly value: unknown; readonly bytes: number }
  | { readonly kind: 'template'; readonly template: Template }
  | { readonly kind: 'list'; readonly items: readonly TemplateNode[] }
  | { readonly kind: 'object'; readonly members: readonly (readonly [name: string, node: TemplateNode])[] }

export interface TreeProblem extends TemplateProblem {
  /** Of the text, in the tree. */
  pointer: string
}

/** A path that a template reads. */
export interface TemplateReference {
  /** Of the text, in the tree. */
  pointer: string
  operand: PathOperand
  /** A `default` stands in for it when it is missing. */
  hasDefault: boolean
  /**
   * The paths of a chain of defaults that it is part of: the last one has to be there where none of the others is.
   */
  alternatives: readonly PathOperand[]
  /** It is read through the name that a loop gives to the items of a list, which is a reference of its own. */
  isThroughLoop: boolean
  /** The whole expression, for messages. */
  source: string
}

/** Of the node that is being visited: grows and shrinks with the depth. */
type Path = (string | number)[]

const MAX_DEPTH = 64
const MAX_PROBLEMS = 50

/** Compiles all that can be, and lists what cannot: broken texts stand in the tree as they are. */
export function parseTree(value: unknown): { tree: TemplateNode; problems: TreeProblem[] } {
  const problems: TreeProblem[] = []
  const tree = parseNode(value, [], problems) ?? literal(value)
  return { tree, problems }
}

/** Every path that the tree reads, in document order. */
export function templateReferences(tree: TemplateNode): TemplateReference[] {
  const references: TemplateReference[] = []
  visitTemplates(tree, (template, path) => {
    const pointer = toPointer(path)
    collectReferences(template.parts, pointer, [], references)
  })
  return references
}

/** Calls `visit` for every text with an expression in it. */
export function visitTemplates(
  tree: TemplateNode,
  visit: (template: Template, path: readonly (string | number)[]) => void,
  path: Path = [],
): void {
  if (tree.kind === 'template') visit(tree.template, path)
  else if (tree.kind === 'list') {
    for (const [index, item] of tree.items.entries()) visitMember(item, index, visit, path)
  } else if (tree.kind === 'object') {
    for (const [name, node] of tree.members) visitMember(node, name, visit, path)
  }
}

function visitMember(
  node: TemplateNode,
  segment: string | number,
  visit: (template: Template, path: readonly (string | number)[]) => void,
  path: Path,
): void {
  path.push(segment)
  visitTemplates(node, visit, path)
  path.pop()
}

/** Null: there is no template in it. */
function parseNode(value: unknown, path: Path, problems: TreeProblem[]): TemplateNode | null {
  if (typeof value === 'string') return holdsTemplate(value) ? parseText(value, path, problems) : null
  if (typeof value !== 'object' || value === null || isRawNumber(value)) return null
  if (path.length === MAX_DEPTH) {
    report(problems, path, {
      code: 'template_too_large',
      message: `Nest at most ${MAX_DEPTH} lists and objects.`,
      at: 0,
    })
    return null
  }
  if (Array.isArray(value)) {
    const items = value.map((item, index) => parseMember(item, index, path, problems))
    if (items.every((item) => item === null)) return null
    return { kind: 'list', items: items.map((item, index) => item ?? literal(value[index])) }
  }
  const members = Object.entries(value).map(
    ([name, member]) => [name, member as unknown, parseMember(member, name, path, problems)] as const,
  )
  if (members.every(([, , node]) => node === null)) return null
  return { kind: 'object', members: members.map(([name, member, node]) => [name, node ?? literal(member)]) }
}

function parseMember(
  value: unknown,
  segment: string | number,
  path: Path,
  problems: TreeProblem[],
): TemplateNode | null {
  path.push(segment)
  const node = parseNode(value, path, problems)
  path.pop()
  return node
}

function parseText(text: string, path: Path, problems: TreeProblem[]): TemplateNode | null {
  const parsed = parseTemplate(text)
  if ('template' in parsed) return { kind: 'template', template: parsed.template }
  for (const problem of parsed.problems) report(problems, path, problem)
  return null
}

/** The size of a literal is measured once, not at every rendering; it may well be nested in another literal. */
function literal(value: unknown): TemplateNode {
  let bytes = -1
  return {
    kind: 'literal',
    value,
    get bytes() {
      if (bytes < 0) bytes = measureJson(value, Number.POSITIVE_INFINITY)
      return bytes
    },
  }
}

/** @param known paths that the blocks around have found to be there */
function collectReferences(
  parts: TemplateParts,
  pointer: string,
  known: readonly string[],
  references: TemplateReference[],
): void {
  const add = (expression: Expression, mayBeMissing = false): void => {
    for (const each of expressionReferences(expression, pointer)) {
      const isKnown = known.some((path) => isAtOrBelow(each.operand.text, path))
      references.push({ ...each, hasDefault: each.hasDefault || isKnown || mayBeMissing })
    }
  }
  for (const part of parts) {
    if (typeof part === 'string') continue
    if (part.kind === 'expression') add(part)
    else if (part.kind === 'for') {
      add(part.list, part.otherwise !== null)
      collectReferences(part.body, pointer, known, references)
      collectReferences(part.otherwise ?? [], pointer, known, references)
    } else {
      for (const { anyOf, body } of part.branches) {
        for (const { subject, operator, operands } of anyOf?.flat() ?? []) {
          add(subject, operator === null || ABOUT_ABSENCE.includes(operator.name))
          for (const operand of operands) add(operand)
        }
        collectReferences(body, pointer, [...known, ...foundBy(anyOf)], references)
      }
    }
  }
}

/** Operators whose point is that the value may be missing. */
const ABOUT_ABSENCE = ['exists', 'not_exists', 'is_empty', 'is_not_empty']

/** Paths that are there where a branch is taken: those that a test for all of it found. */
function foundBy(anyOf: Branch['anyOf']): string[] {
  const [all, ...others] = anyOf ?? []
  if (all === undefined || others.length > 0) return []
  return all.flatMap(({ subject: { operand, filters }, operator }) => {
    const isFound = operator === null || operator.name === 'exists' || operator.name === 'is_not_empty'
    return isFound && operand.kind !== 'literal' && filters.length === 0 ? [operand.text] : []
  })
}

function isAtOrBelow(text: string, path: string): boolean {
  return text === path || text.startsWith(`${path}.`) || text.startsWith(`${path}[`)
}

function expressionReferences(expression: Expression, pointer: string): TemplateReference[] {
  const { operand, filters, source } = expression
  const isDefault = ({ filter }: Expression['filters'][number]): boolean => filter.name === 'default'
  const chain = [operand, ...filters.filter(isDefault).flatMap(({ args }) => args)].flatMap(toPath)
  const references: TemplateReference[] = toPath(operand).map((path) => ({
    pointer,
    operand: path,
    hasDefault: filters.some(isDefault),
    alternatives: [],
    isThroughLoop: operand.kind === 'local',
    source,
  }))
  for (const [index, call] of filters.entries()) {
    const hasDefault = isDefault(call) && filters.slice(index + 1).some(isDefault)
    const alternatives = isDefault(call) && !hasDefault ? chain : []
    for (const arg of call.args) {
      const isThroughLoop = arg.kind === 'local'
      for (const path of toPath(arg)) {
        references.push({ pointer, operand: path, hasDefault, alternatives, isThroughLoop, source })
      }
    }
  }
  return references
}

/** A path, or the one that a loop's name stands for: it is judged as an item of the list. */
function toPath(operand: Operand): PathOperand[] {
  if (operand.kind === 'literal') return []
  const path = operand.kind === 'local' ? operand.stands : operand
  return path === null ? [] : [path]
}

/** The one expression a node consists of, whose value keeps its type. */
export function exactNode(node: TemplateNode): Expression | null {
  return node.kind === 'template' ? exactExpression(node.template) : null
}

function report(problems: TreeProblem[], path: Path, problem: TemplateProblem): void {
  if (problems.length < MAX_PROBLEMS) problems.push({ ...problem, pointer: toPointer(path) })
}
