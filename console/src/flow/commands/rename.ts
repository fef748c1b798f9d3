import { isStepId } from '../../../../src/lib/flow/ids.ts'
import { renameStepsInText } from '../../../../src/lib/template/index.ts'
import type { Command } from '../document.ts'
import { listOf } from '../document.ts'
import { hasBody, isObject, type Members } from '../graph.ts'
import { stepOf, takenIds, withDefinition, withLayout, withSteps } from './parts.ts'

/**
 * Gives a step another id, also where ways lead to it, and where templates and conditions read what it gave. Nothing is
 * changed where the id is taken, or is none.
 */
export function changeStepId(id: string, to: string): Command {
  return (document) => {
    if (stepOf(document, id) === null || takenIds(document).has(to) || !isStepId(to)) return document
    const ids = new Map([[id, to]])
    let after = document
    for (const lane of ['steps', 'error_handlers'] as const) {
      const steps = listOf(document.definition[lane])
      if (steps.length > 0) {
        after = withSteps(
          after,
          lane,
          steps.map((step) => (isObject(step) ? withIds(step, ids) : step)),
        )
      }
    }
    if (document.definition['start'] === id) after = withDefinition(after, { start: to })
    const { [id]: position, ...positions } = document.layout.positions
    return position === undefined ? after : withLayout(after, { positions: { ...positions, [to]: position } })
  }
}

/** Returns a step in which other ids stand: its own, in its ways, and in what it reads. */
export function withIds(step: Members, ids: ReadonlyMap<string, string>): Members {
  const isLoop = hasBody(step['type'])
  const members = Object.entries(step).map(([name, value]) => {
    const isId = name === 'id' || name === 'next' || /^on_./.test(name) || (name === 'body' && isLoop)
    if (isId && typeof value === 'string') return [name, ids.get(value) ?? value] as const
    if (name === 'type' || name === 'name' || name === 'description') return [name, value] as const
    return [name, inValue(value, ids)] as const
  })
  return Object.fromEntries(members)
}

function inValue(value: unknown, ids: ReadonlyMap<string, string>): unknown {
  if (typeof value === 'string') return renameStepsInText(value, ids)
  if (Array.isArray(value))
    return same(
      value,
      value.map((each) => inValue(each, ids)),
    )
  // A number that is kept as it was written is no object of members.
  if (!isObject(value) || 'rawJSON' in value) return value
  const entries = Object.entries(value)
  const changed = entries.map(([name, each]) => [name, inValue(each, ids)] as const)
  return changed.every(([, each], index) => each === entries[index]?.[1])
    ? value
    : Object.fromEntries(changed)
}

function same(before: readonly unknown[], after: readonly unknown[]): readonly unknown[] {
  return after.every((each, index) => each === before[index]) ? before : after
}
