import type { Command, FlowDocument, Point } from '../document.ts'
import { graphOf, listOf } from '../document.ts'
import { END, hasBody, isObject, type Members, portMember } from '../graph.ts'
import { baseOfId, freshIds } from '../ids.ts'
import { stepType } from '../step-types.ts'
import { CUTS_OFF, guarded } from './faults.ts'
import { endOfChain, type Place, put } from './insert.ts'
import {
  type Lane,
  laneOf,
  lead,
  leadAll,
  type LedWay,
  mainPortOf,
  type StepMembers,
  stepOf,
  takenIds,
  withLayout,
  withSteps,
} from './parts.ts'
import { withIds } from './rename.ts'

/** What is on the clipboard, as JSON of its own. */
interface Clip {
  format: typeof FORMAT
  steps: readonly StepMembers[]
  positions: Readonly<Record<string, Point>>
}

const FORMAT = 'bettercallsold.steps.1'
const AWAY = 40

/** Steps with the bodies of their loops, as text for the clipboard. Ways to what is not among them are left out. */
export function copySteps(document: FlowDocument, ids: readonly string[]): string {
  return JSON.stringify(clipOf(document, ids))
}

function clipOf(document: FlowDocument, ids: readonly string[]): Clip {
  const chosen = new Set(ids)
  const steps = [...graphOf(document).steps.values()].filter(
    ({ id, loop }) => chosen.has(id) || (loop !== null && chosen.has(loop)),
  )
  const wanted = new Set(steps.map(({ id }) => id))
  const positions = Object.entries(document.layout.positions).filter(([id]) => wanted.has(id))
  return {
    format: FORMAT,
    steps: steps.map(({ members }) => among(members as StepMembers, wanted)),
    positions: Object.fromEntries(positions),
  }
}

/** What a text of the clipboard holds; null: no steps. @param parse keeps numbers as they were written */
export function readClip(text: string, parse: (text: string) => unknown): Clip | null {
  let value: unknown
  try {
    value = parse(text)
  } catch {
    return null
  }
  if (!isObject(value) || value['format'] !== FORMAT || !Array.isArray(value['steps'])) return null
  const steps = (value['steps'] as unknown[]).filter(
    (step): step is StepMembers => isObject(step) && typeof step['id'] === 'string',
  )
  if (steps.length === 0 || new Set(steps.map(({ id }) => id)).size < steps.length) return null
  const positions = Object.entries(isObject(value['positions']) ? value['positions'] : {}).filter(
    (entry): entry is [string, Point] =>
      isObject(entry[1]) && Number.isFinite(entry[1]['x']) && Number.isFinite(entry[1]['y']),
  )
  return { format: FORMAT, steps, positions: Object.fromEntries(positions) }
}

/**
 * Pastes steps with ids of their own; what they read of one another is read of the copies. The first of them is put in
 * place, and the chain that it begins goes on from there; without a place nothing leads to them.
 */
export function pasteSteps(clip: Clip, at: Place | null): Command {
  return guarded(
    (document) => {
      const ids = newIds(document, clip)
      const all = new Set(clip.steps.map(({ id }) => id))
      const steps = clip.steps.map((step) => withIds(among(step, all), ids) as StepMembers)
      const where = at ?? (graphOf(document).start === null ? ({ at: 'start' } as const) : null)
      const [first] = beginnings(steps)
      if (first === undefined) return document
      const connected = where === null ? putLoose(document, steps) : inPlace(document, steps, first, where)
      return connected === null ? document : withPositions(connected, clip, ids, at)
    },
    at === null ? undefined : CUTS_OFF,
  )
}

/** Puts a copy of a step behind it, of a loop with its body. */
export function duplicateStep(id: string): Command {
  return (document) => {
    if (stepOf(document, id) === null) return document
    return pasteSteps(clipOf(document, [id]), { at: 'after', step: id })(document)
  }
}

/** Puts copies of several steps behind the last of them; where nothing can stand there, nothing leads to them. */
export function duplicateSteps(ids: readonly string[]): Command {
  return (document) => {
    const chosen = new Set(ids)
    const inOrder = [...graphOf(document).steps.values()].filter(({ id }) => chosen.has(id))
    const [only, second] = inOrder
    if (only === undefined) return document
    if (second === undefined) return duplicateStep(only.id)(document)
    const { id: last } = inOrder.findLast(({ loop }) => loop === null || !chosen.has(loop)) ?? only
    const clip = clipOf(document, ids)
    const behind = pasteSteps(clip, { at: 'after', step: last })(document)
    return behind === document ? pasteSteps(clip, null)(document) : behind
  }
}

/** The steps that none of the others leads to. */
function beginnings(steps: readonly StepMembers[]): StepMembers[] {
  const led = new Set(
    steps.flatMap((step) => [...portsIn(step), ...bodyPort(step)].map((port) => step[portMember(port)])),
  )
  return steps.filter(({ id }) => !led.has(id))
}

/** Chains that were apart follow one another. */
function chained(loose: FlowDocument, steps: readonly StepMembers[]): FlowDocument {
  const [, ...others] = beginnings(steps)
  const ways = beginnings(steps).flatMap(({ id }, index): LedWay[] => {
    const next = others[index]
    const last = next === undefined ? null : stepOf(loose, endOfChain(loose, id))
    const port = last && mainPortOf(last)
    return next === undefined || last === null || port === null ? [] : [{ from: last.id, port, to: next.id }]
  })
  return leadAll(loose, ways)
}

function putLoose(document: FlowDocument, steps: readonly StepMembers[], lane: Lane = 'steps'): FlowDocument {
  return withSteps(document, lane, [...listOf(document.definition[lane]), ...steps])
}

/** The chain in its place: what is there leads to its first step, and its last one goes on. */
function inPlace(
  before: FlowDocument,
  steps: readonly StepMembers[],
  first: StepMembers,
  at: Place,
): FlowDocument | null {
  const probe = put(before, at, { id: PROBE, type: 'set', variables: {} })
  const probed = stepOf(probe, PROBE)
  const target = probed?.members['next']
  if (probed === null || typeof target !== 'string') return null
  const loose = chained(putLoose(before, steps, laneOf(probed)), steps)
  const last = stepOf(loose, endOfChain(loose, first.id))
  const port = last && mainPortOf(last)
  if (port === null && target !== END) return null
  // As a step that stands in for the chain: then what led to it leads to the first, and its last one where it led.
  const graph = graphOf(probe)
  const ways = graph.edges.filter(({ to }) => to === PROBE)
  let after = leadAll(
    loose,
    ways.map((way) => ({ ...way, to: first.id })),
  )
  if (graph.start === PROBE) after = { ...after, definition: { ...after.definition, start: first.id } }
  if (last === null || port === null) return after
  return lead(after, { from: last.id, port }, target)
}

const PROBE = '__probe'

function newIds(document: FlowDocument, { steps }: Clip): Map<string, string> {
  const next = freshIds(takenIds(document))
  return new Map(steps.map((step) => [step.id, next(baseOfId(step))]))
}

/** A step whose ways to others than these end, or for errors go to the handlers. */
function among(step: StepMembers, ids: ReadonlySet<string>): StepMembers {
  const type = stepType(String(step['type']))
  const ports = [...(type?.ports(step) ?? portsIn(step)), ...bodyPort(step)]
  const members: Record<string, unknown> = { ...step }
  for (const port of ports) {
    const name = portMember(port)
    const to = members[name]
    if (typeof to !== 'string' || ids.has(to) || to === END) continue
    if (port === 'error' || port === 'body') Reflect.deleteProperty(members, name)
    else members[name] = END
  }
  return members as StepMembers
}

/** Of a message and a request `body` is what is sent, and no way. */
function bodyPort(step: Members): string[] {
  return hasBody(step['type']) ? ['body'] : []
}

function portsIn(step: Members): string[] {
  return Object.keys(step).flatMap((name) => (name === 'next' ? name : (/^on_(.+)$/.exec(name)?.[1] ?? [])))
}

function withPositions(
  document: FlowDocument,
  { positions }: Clip,
  ids: ReadonlyMap<string, string>,
  at: Place | null,
): FlowDocument {
  // In a chain the canvas finds the place.
  if (at !== null || Object.keys(positions).length === 0) return document
  const moved = Object.entries(positions).flatMap(([id, { x, y }]) => {
    const to = ids.get(id)
    return to === undefined ? [] : [[to, { x: x + AWAY, y: y + AWAY }] as const]
  })
  return withLayout(document, { positions: { ...document.layout.positions, ...Object.fromEntries(moved) } })
}
