import { typeLabel } from '../canvas/labels.ts'
import type { FlowGraph, Members } from '../flow/graph.ts'
import type { Note } from '../flow/notes.ts'

/** What a search in a flow finds. */
export interface Found {
  kind: 'step' | 'note'
  id: string
}

/** The steps and notes in which all words of a search stand: in their names, their types, or any of their fields. */
export function findIn(graph: FlowGraph, notes: readonly Note[], search: string): Found[] {
  const parts = search
    .toLowerCase()
    .split(/\s+/)
    .filter((part) => part !== '')
  if (parts.length === 0) return []
  const holds = (text: string): boolean => {
    const all = text.toLowerCase()
    return parts.every((part) => all.includes(part))
  }
  const steps = [...graph.steps.values()].filter(({ id, name, type, members }) =>
    holds(`${id} ${name} ${typeLabel(type)} ${textOf(members)}`),
  )
  return [
    ...steps.map(({ id }): Found => ({ kind: 'step', id })),
    ...notes.filter(({ text }) => holds(text)).map(({ id }): Found => ({ kind: 'note', id })),
  ]
}

const texts = new WeakMap<Members, string>()

function textOf(members: Members): string {
  const known = texts.get(members)
  if (known !== undefined) return known
  const text = JSON.stringify(members)
  texts.set(members, text)
  return text
}
