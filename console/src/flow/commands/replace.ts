import type { Command } from '../document.ts'
import { without } from '../document.ts'
import { END, hasBody, isObject, type Members, portMember } from '../graph.ts'
import { stepType } from '../step-types.ts'
import { guarded } from './faults.ts'
import { freshStep } from './insert.ts'
import { withoutPlaces } from './remove.ts'
import { bodyOf, editStep, mainPortOf, portsTo, stepOf, takeOut } from './parts.ts'

/** Members that every step may have, and those of steps that call others. */
const COMMON = ['name', 'description']
const OF_CALLS = ['timeout', 'retry', 'retry_count', 'retry_delay', 'patience']

/**
 * Makes a step one of another type, or of another action. Its id, its name, ways and members of the same name stay;
 * the chain goes on as it did. The body of a loop that is none any more goes with it.
 *
 * @param members what it begins with; an `input` of another action keeps the fields that are in it
 */
export function replaceStep(id: string, type: string, members: Members = {}): Command {
  return guarded((document) => {
    const step = stepOf(document, id)
    if (step === null) return document
    const fresh = freshStep(type, id, members)
    const before = step.members
    const kept = keptMembers(type, fresh, before)
    const next = { ...fresh, ...kept }
    const main = mainPortOf(step)
    const target = main === null ? undefined : before[portMember(main)]
    const ports = portsTo(type, next, typeof target === 'string' ? target : END)
    for (const port of stepType(type)?.ports(next) ?? []) {
      const name = portMember(port)
      if (Object.hasOwn(before, name)) ports[name] = before[name] as string
    }
    const replaced = editStep(document, id, () => ({ ...without(next, Object.keys(ports)), ...ports }))
    if (hasBody(type)) return replaced
    const body = new Set(bodyOf(document, id))
    return withoutPlaces(takeOut(replaced, body), body)
  })
}

function keptMembers(type: string, fresh: Members, before: Members): Members {
  const known = stepType(type)
  const isSame = before['type'] === type
  const names = new Set([
    ...COMMON,
    ...(known?.calls === true ? OF_CALLS : []),
    ...(known?.hasBody === true ? ['body'] : []),
    ...(known?.fields.map(({ name }) => name) ?? []),
  ])
  const kept: Record<string, unknown> = {}
  for (const name of names) {
    // Of a loop it is the way into its steps, of a message and a request what is sent.
    if (name === 'body' && hasBody(type) !== hasBody(before['type'])) continue
    // What was chosen anew is not what it was before.
    const isChosen = isSame && type === 'action' && name.startsWith('action')
    if (!isChosen && Object.hasOwn(before, name)) kept[name] = before[name]
  }
  if (type !== 'action') return kept
  delete kept['plugin_id']
  const { input } = fresh
  const given = before['input'] ?? before['config'] ?? before['payload_template']
  if (!isObject(input)) return { ...kept, ...(isObject(given) && { input: given }) }
  const same = Object.entries(isObject(given) ? given : {}).filter(([name]) => Object.hasOwn(input, name))
  return { ...kept, input: { ...input, ...Object.fromEntries(same) } }
}
