import type { FlowDocument } from '../document.ts'
import { graphOf, listOf, without } from '../document.ts'
import { END, type FlowStep, isObject, type Members, portMember } from '../graph.ts'
import { stepType } from '../step-types.ts'

/** A way out of a step. */
export interface Way {
  readonly from: string
  readonly port: string
}

export type Lane = 'steps' | 'error_handlers'

/** A step as it stands in a definition. */
export type StepMembers = Members & { readonly id: string }

export function stepOf(document: FlowDocument, id: string): FlowStep | null {
  return graphOf(document).steps.get(id) ?? null
}

export function laneOf({ isHandler }: FlowStep): Lane {
  return isHandler ? 'error_handlers' : 'steps'
}

/** Where a way leads as it is written: a step, `end`, or null, which of an error is the flow's handlers. */
export function targetOf(document: FlowDocument, { from, port }: Way): string | null {
  return (
    graphOf(document)
      .edgesFrom.get(from)
      ?.find((edge) => edge.port === port)?.to ?? null
  )
}

export function waysInto(document: FlowDocument, id: string): Way[] {
  return graphOf(document).edges.filter(({ to }) => to === id)
}

export function mainPortOf({ type, ports }: FlowStep): string | null {
  const known = stepType(type)
  if (known !== null) return known.mainPort
  return ports.find((port) => port !== 'error') ?? null
}

/** The step that a chain goes on with: behind a loop, not its body. */
export function followerOf(document: FlowDocument, id: string): string | null {
  const step = stepOf(document, id)
  const port = step && mainPortOf(step)
  return port === null ? null : targetOf(document, { from: id, port })
}

export function withDefinition(document: FlowDocument, change: Members): FlowDocument {
  return { ...document, definition: { ...document.definition, ...change } }
}

/** Puts a list in place. There is no empty list of handlers. */
export function withSteps(document: FlowDocument, lane: Lane, steps: readonly unknown[]): FlowDocument {
  if (lane === 'error_handlers' && steps.length === 0) {
    return { ...document, definition: without(document.definition, [lane]) }
  }
  return withDefinition(document, { [lane]: steps })
}

export function editStep(
  document: FlowDocument,
  id: string,
  edit: (members: StepMembers) => Members,
): FlowDocument {
  const step = stepOf(document, id)
  if (step === null) return document
  const lane = laneOf(step)
  const steps = listOf(document.definition[lane])
  const index = steps.findIndex((each) => isObject(each) && each['id'] === id)
  const edited = edit(steps[index] as StepMembers)
  return edited === steps[index] ? document : withSteps(document, lane, steps.with(index, edited))
}

/** Leads a way elsewhere. Null: it is not written, so that an error goes to the handlers, and a body is empty. */
export function lead(document: FlowDocument, { from, port }: Way, to: string | null): FlowDocument {
  return editStep(document, from, (members) => ledElsewhere(members, port, to))
}

/** A way, and where it is to lead. */
export interface LedWay extends Way {
  readonly to: string | null
}

/** Leads many ways elsewhere, and goes through the steps once for all of them. */
export function leadAll(document: FlowDocument, ways: readonly LedWay[]): FlowDocument {
  const waysFrom = Map.groupBy(ways, ({ from }) => from)
  let after = document
  for (const lane of ['steps', 'error_handlers'] as const) {
    const steps = listOf(document.definition[lane])
    const led = steps.map((step) => {
      if (!isObject(step)) return step
      const own = waysFrom.get(step['id'] as string) ?? []
      return own.reduce((members, { port, to }) => ledElsewhere(members, port, to), step as StepMembers)
    })
    if (led.some((step, index) => step !== steps[index])) after = withSteps(after, lane, led)
  }
  return after
}

function ledElsewhere(members: StepMembers, port: string, to: string | null): StepMembers {
  const name = portMember(port)
  // An item ends where a body is empty, which is no step.
  const target = port === 'body' && to === END ? null : to
  if (target === null) {
    return Object.hasOwn(members, name) ? (without(members, [name]) as StepMembers) : members
  }
  return members[name] === target ? members : { ...members, [name]: target }
}

/** Puts a step into its list, behind another or first. It is led to by nothing. */
export function place(
  document: FlowDocument,
  lane: Lane,
  members: StepMembers,
  behind: string | null,
): FlowDocument {
  const steps = listOf(document.definition[lane])
  const index = steps.findIndex((each) => isObject(each) && each['id'] === behind)
  const at = behind === null ? 0 : index === -1 ? steps.length : index + 1
  return withSteps(document, lane, steps.toSpliced(at, 0, members))
}

/** Takes steps out of their lists; what leads to them is not looked at. */
export function takeOut(document: FlowDocument, ids: ReadonlySet<string>): FlowDocument {
  let after = document
  for (const lane of ['steps', 'error_handlers'] as const) {
    const steps = listOf(after.definition[lane])
    const kept = steps.filter((each) => !(isObject(each) && ids.has(each['id'] as string)))
    if (kept.length < steps.length) after = withSteps(after, lane, kept)
  }
  return after
}

export function withStart(document: FlowDocument, id: string | null): FlowDocument {
  if (id === null) return { ...document, definition: without(document.definition, ['start']) }
  return document.definition['start'] === id ? document : withDefinition(document, { start: id })
}

export function withLayout(document: FlowDocument, change: Partial<FlowDocument['layout']>): FlowDocument {
  return { ...document, layout: { ...document.layout, ...change } }
}

/** Ids of steps and handlers: they share their names. */
export function takenIds(document: FlowDocument): Set<string> {
  return new Set([...graphOf(document).steps.keys(), END])
}

/** The steps of a loop's body; empty: it has none, or is no loop. */
export function bodyOf(document: FlowDocument, loop: string): string[] {
  return [...graphOf(document).steps.values()].flatMap((step) => (step.loop === loop ? step.id : []))
}

/** The ways out of a new step: the main one leads on, errors go to the handlers, all others end. */
export function portsTo(type: string, members: Members, to: string): Record<string, string> {
  const known = stepType(type)
  const ports = (known?.ports(members) ?? ['next']).filter((port) => port !== 'error')
  const main = known === null ? 'next' : known.mainPort
  return Object.fromEntries(ports.map((port) => [portMember(port), port === main ? to : END]))
}
