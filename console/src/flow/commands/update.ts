import type { Command, FlowDocument } from '../document.ts'
import { listOf, without } from '../document.ts'
import { END, isObject, type Members, portMember } from '../graph.ts'
import { stepType } from '../step-types.ts'
import { editStep, stepOf, withDefinition } from './parts.ts'

/** Sets members of a step; undefined takes one away. Ways follow the cases that they belong to. */
export function updateStep(id: string, change: Members): Command {
  return (document) => editStep(document, id, (members) => withPorts(members, changed(members, change)))
}

/** Sets members of a step that are there and empty, as long as it is of the type that they are meant for. */
export function fillStep(id: string, type: string, values: Members): Command {
  return (document) => {
    const members = stepOf(document, id)?.members
    if (members?.['type'] !== type) return document
    const empty = Object.entries(values).filter(([name]) => members[name] === '')
    return updateStep(id, Object.fromEntries(empty))(document)
  }
}

/** Calls a step otherwise; empty: by its id. */
export function renameStep(id: string, name: string): Command {
  return updateStep(id, { name: name === '' ? undefined : name })
}

/** Sets members of a trigger. */
export function updateTrigger(id: string, change: Members): Command {
  return (document) =>
    editTriggers(document, (triggers) =>
      triggers.map((each) => (isObject(each) && each['id'] === id ? changed(each, change) : each)),
    )
}

/** Sets members of the flow's settings. */
export function updateSettings(change: Members): Command {
  return updateMember('settings', change)
}

/** Sets what variables hold at the start. */
export function updateVariables(change: Members): Command {
  return updateMember('variables', change)
}

/** Sets members of the flow itself, such as its name. */
export function updateFlow(change: Members): Command {
  return (document) => {
    const definition = changed(document.definition, change)
    return definition === document.definition ? document : { ...document, definition }
  }
}

export function editTriggers(
  document: FlowDocument,
  edit: (triggers: readonly unknown[]) => readonly unknown[],
): FlowDocument {
  const triggers = listOf(document.definition['triggers'])
  const edited = edit(triggers)
  const isSame = edited.length === triggers.length && edited.every((each, at) => each === triggers[at])
  return isSame ? document : withDefinition(document, { triggers: edited })
}

function updateMember(name: string, change: Members): Command {
  return (document) => {
    const sent = document.definition[name]
    const members = isObject(sent) ? sent : {}
    const after = changed(members, change)
    return after === members ? document : withDefinition(document, { [name]: after })
  }
}

function changed(members: Members, change: Members): Members {
  const names = Object.keys(change).filter((name) => members[name] !== change[name])
  if (names.length === 0) return members
  const kept = without(
    members,
    names.filter((name) => change[name] === undefined),
  )
  for (const name of names) if (change[name] !== undefined) kept[name] = change[name]
  return kept
}

/** Ports that a type has by its members: one that got another name leads where it led, a new one ends. */
function withPorts(before: Members, after: Members): Members {
  const type = stepType(String(after['type']))
  if (type === null || before === after) return after
  const old = type.ports(before)
  const now = type.ports(after)
  const gone = old.filter((port) => !now.includes(port))
  const added = now.filter((port) => !old.includes(port))
  if (gone.length === 0 && added.length === 0) return after
  const members = without(after, gone.map(portMember))
  for (const port of added) {
    // As many as before: the one at the same position was renamed.
    const renamed = old.length === now.length ? old[now.indexOf(port)] : undefined
    const target = renamed !== undefined && gone.includes(renamed) ? before[portMember(renamed)] : undefined
    members[portMember(port)] = target ?? END
  }
  return members
}
