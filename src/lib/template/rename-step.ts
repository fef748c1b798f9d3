import { parsePath } from '#lib/json/path.ts'
import { parseTemplate } from './parse.ts'
import { templateReferences } from './tree.ts'

/**
 * Returns a text in which what a step gave is read by the step's new id, whether it is a template or a path alone. One that
 * cannot be read stays as it is.
 */
export function renameStepInText(text: string, from: string, to: string): string {
  const path = parsePath(text)
  if (path !== null) return path[0] === 'steps' && path[1] === from ? renamed(text, 0, from, to) : text
  const parsed = parseTemplate(text)
  if ('problems' in parsed) return text
  const places = templateReferences({ kind: 'template', template: parsed.template }).flatMap(
    ({ operand, isThroughLoop }) =>
      !isThroughLoop && operand.root === 'steps' && operand.path[0] === from ? operand.at : [],
  )
  // From the last one on, so that the places before stay.
  return [...new Set(places)]
    .sort((one, other) => other - one)
    .reduce((result, at) => renamed(result, at, from, to), text)
}

function renamed(text: string, at: number, from: string, to: string): string {
  const before = text.slice(0, at)
  return `${before}steps.${to}${text.slice(at + 'steps.'.length + from.length)}`
}
