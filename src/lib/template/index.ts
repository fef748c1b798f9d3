/**
 * Templates that strangers write: `{{ path | filter: argument }}`, `{% for %}` and `{% if %}` in texts and payload trees.
 *
 * There is no logic beyond that. A path starts from a fixed set of roots and sees own members only. A text that is
 * exactly one expression keeps the value's type. Values that were filled in are never read as a template. Compiling
 * takes time linear in the text; rendering is bounded in its output and in the work of its filters, whatever the
 * data.
 */
import { parseTemplate } from './parse.ts'
import type { Template, TemplateProblem } from './syntax.ts'
import type { TemplateNode, TreeProblem } from './tree.ts'
import { parseTree } from './tree.ts'

export { describeTags, describeTestOperators } from './describe.ts'
export { describeFilters, FILTERS } from './filters/index.ts'
export { MAX_RENDERED_BYTES, renderTemplate } from './render.ts'
export type { TemplateScope } from './render.ts'
export { renameStepsInText } from './rename-step.ts'
export { renderUrl } from './url.ts'
export { renderHtml, textToHtml } from './html.ts'
export { expressionsOf, isTemplateRoot, listsOf, TEMPLATE_ROOTS } from './syntax.ts'
export type { Expression, Operand, TemplateRoot } from './syntax.ts'
export { exactNode, parseTree, templateReferences, visitTemplates } from './tree.ts'
export type { TemplateNode } from './tree.ts'

/** One text. */
export function compileTemplate(text: string): { template: TemplateNode } | { problems: TemplateProblem[] } {
  const parsed = parseTemplate(text)
  return 'problems' in parsed ? parsed : { template: toNode(parsed.template) }
}

/** A payload: any JSON value in whose texts templates may stand. Names of members are not templates. */
export function compileTemplateTree(
  value: unknown,
): { template: TemplateNode } | { problems: TreeProblem[] } {
  const { tree, problems } = parseTree(value)
  return problems.length > 0 ? { problems } : { template: tree }
}

function toNode(template: Template): TemplateNode {
  return { kind: 'template', template }
}
