import { parsePath } from '#lib/json/path.ts'
import { parseTemplate } from './parse.ts'
import { templateReferences } from './tree.ts'

/**
 * Returns a text in which what steps gave is read by their new ids, whether it is a template or a path alone. One that
 * cannot be read stays as it is. The text is read once, however many ids there are, so ids may change places.
 *
 * @param ids by old id the new one
 */
export function renameStepsInText(text: string, ids: ReadonlyMap<string, string>): string {
  const path = parsePath(text)
  if (path !== null) return path[0] === 'steps' ? renamed(text, new Map([[0, path[1]]]), ids) : text
  const parsed = parseTemplate(text)
  if ('problems' in parsed) return text
  const places = templateReferences({ kind: 'template', template: parsed.template }).flatMap(
    ({ operand, isThroughLoop }) =>
      !isThroughLoop && operand.root === 'steps' ? [[operand.at, operand.path[0]] as const] : [],
  )
  // The paths of a chain of defaults may name a place twice.
  return renamed(text, new Map(places), ids)
}

/** @param places by where a path stands the step that it reads */
function renamed(
  text: string,
  places: ReadonlyMap<number, string | number | undefined>,
  ids: ReadonlyMap<string, string>,
): string {
  let result = ''
  let end = 0
  for (const [at, from] of [...places].sort(([one], [other]) => one - other)) {
    const to = typeof from === 'string' ? ids.get(from) : undefined
    if (typeof from !== 'string' || to === undefined) continue
    result += `${text.slice(end, at)}steps.${to}`
    end = at + 'steps.'.length + from.length
  }
  return result + text.slice(end)
}
