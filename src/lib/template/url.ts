import { type RenderError, type RenderOptions, renderTemplate, type TemplateScope } from './render.ts'
import type { Expression } from './syntax.ts'
import type { TemplateNode } from './tree.ts'
import { hasDotSegment } from '#lib/path-segment.ts'

/** The last filter of a value that stands in a URL as it is, and that of a value that is encoded already. */
const RAW = 'raw_url'
const ENCODED = 'url_encode'

/** The place of a value in the URL, within one segment; values that `raw_url` marks are left out. */
type Place = readonly [from: number, to: number]

/**
 * Fills in the template of a URL. A value is one segment of the path, or one part of the query, whatever it is: it
 * can neither lead to another path nor add a parameter. In the path it is not empty, and no `.` or `..`, which no
 * encoding makes a name. `| raw_url` as the last filter lets a value stand as it is.
 */
export function renderUrl(
  tree: TemplateNode,
  scope: TemplateScope,
  options: RenderOptions,
): { url: string } | { error: RenderError } {
  const places: Place[] = []
  const encode = (text: string, { filters }: Expression, before: string): string => {
    const last = filters.at(-1)?.filter.name
    if (last === RAW) return text
    const encoded = last === ENCODED ? text : encodeURIComponent(text.toWellFormed())
    places.push([before.length, before.length + encoded.length])
    return encoded
  }
  const rendered = renderTemplate(tree, scope, { ...options, encode })
  if ('error' in rendered) return rendered
  if (typeof rendered.value !== 'string') return { error: { path: '', message: 'The URL is no text.' } }
  const fault = pathFault(rendered.value, places)
  return fault === null ? { url: rendered.value } : { error: { path: '', message: fault } }
}

/** Returns what is wrong with a segment that values stand in. @param places from the first one to the last */
function pathFault(url: string, places: readonly Place[]): string | null {
  const end = url.search(/[?#]/)
  const path = end === -1 ? url : url.slice(0, end)
  let to = -1
  let next = 0
  for (const segment of path.split('/')) {
    to += 1 + segment.length
    const first = next
    while ((places[next]?.[1] ?? Infinity) <= to) next++
    if (next === first) continue
    if (segment === '') return 'A value in the path of the URL is empty.'
    if (hasDotSegment(segment)) return 'A value in the path of the URL is a dot or two, or leads up by them.'
  }
  return null
}
