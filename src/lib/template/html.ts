import { escapeHtml } from './filters/markup.ts'
import { type RenderError, type RenderOptions, renderTemplate, type TemplateScope } from './render.ts'
import type { Expression } from './syntax.ts'
import type { TemplateNode } from './tree.ts'

/** The last filter of a value that stands in HTML as it is, and that of a value that is escaped already. */
const AS_IT_IS = new Set(['raw', 'escape'])

/** Plain text as HTML: its lines as lines, empty ones between paragraphs. */
export function textToHtml(text: string): string {
  const paragraphs = text.trim().split(/\r?\n[ \t]*\r?\n\s*/)
  return paragraphs.map((each) => `<p>${escapeHtml(each).replaceAll(/\r?\n/g, '<br>\n')}</p>`).join('\n')
}

/** Fills in the template of an HTML text. Values are text in it, whatever they hold; `| raw` lets one be markup. */
export function renderHtml(
  tree: TemplateNode,
  scope: TemplateScope,
  options: RenderOptions,
): { value: unknown } | { error: RenderError } {
  const encode = (text: string, { filters }: Expression): string =>
    AS_IT_IS.has(filters.at(-1)?.filter.name ?? '') ? text : escapeHtml(text)
  return renderTemplate(tree, scope, { ...options, encode })
}
