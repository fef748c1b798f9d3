import { END, type FlowGraph, isObject, type Members, portMember, readGraph } from './graph.ts'
import { freshId } from './ids.ts'
import { stepType } from './step-types.ts'

/** What the builder edits: a flow in graph form with every way written out, and where its cards stand. Never changed in place. */
export interface FlowDocument {
  /** As the API takes it. Problems point into it. */
  readonly definition: Members
  readonly layout: DocumentLayout
}

/** Returns what comes of a document; the document itself where the command changes nothing. */
export type Command = (document: FlowDocument) => FlowDocument

export interface Point {
  readonly x: number
  readonly y: number
}

export interface DocumentLayout {
  /** Of steps that were placed by hand or by tidying. */
  readonly positions: Readonly<Record<string, Point>>
  /** The notes (notes.ts), and what others keep in it. */
  readonly rest: Members
}

/** The parts of a flow, of which the linear format keeps all but the triggers in `flow_definition`. */
const LINEAR_OUTER = ['trigger', 'triggers', 'trigger_event', 'trigger_filter', 'flow_definition']
const INNER = ['steps', 'start', 'error_handlers', 'layout']
const OF_FLOW = ['variables', 'settings']

/** Opens a definition of either format, however unfinished. */
export function openDocument(stored: unknown): FlowDocument {
  const outer = isObject(stored) ? stored : {}
  const sent = isObject(outer['flow_definition']) ? outer['flow_definition'] : outer
  const inner = withIds(sent)
  const graph = readGraph({ ...inner, flow_definition: undefined })
  const rest = {
    ...without(sent, [...LINEAR_OUTER, ...INNER]),
    ...without(outer, [...LINEAR_OUTER, ...INNER]),
  }
  for (const name of OF_FLOW) if (Object.hasOwn(sent, name)) rest[name] = sent[name]
  const handlers = listOf(inner['error_handlers']).map((step) => explicit(step, graph))
  // A loop among the handlers is refused, but what stands in its body is no handler.
  const inHandlers = listOf(inner['error_handlers']).flatMap((step) => flatten([step]).slice(1))
  const steps = [...flatten(listOf(inner['steps'])), ...inHandlers].map((step) => explicit(step, graph))
  const definition = {
    ...rest,
    triggers: openTriggers(outer),
    ...(graph.start !== null && { start: graph.start }),
    steps: steps.map(withoutPosition),
    ...(handlers.length > 0 && { error_handlers: handlers.map(withoutPosition) }),
  }
  return { definition, layout: openLayout(inner['layout'], [...steps, ...handlers]) }
}

/** Tells whether a definition came in the format without ways, of which the builder makes the other one. */
export function isLinearFormat(stored: unknown): boolean {
  return (
    isObject(stored) && (Object.hasOwn(stored, 'flow_definition') || Object.hasOwn(stored, 'trigger_event'))
  )
}

/** The definition to send: the document's own, with its layout. */
export function writeDocument({ definition, layout }: FlowDocument): Members {
  const written = {
    ...layout.rest,
    ...(Object.keys(layout.positions).length > 0 && { positions: layout.positions }),
  }
  return Object.keys(written).length === 0 ? definition : { ...definition, layout: written }
}

const graphs = new WeakMap<Members, FlowGraph>()

/** The graph of a document, read once. */
export function graphOf({ definition }: FlowDocument): FlowGraph {
  const known = graphs.get(definition)
  if (known !== undefined) return known
  const graph = readGraph(definition)
  graphs.set(definition, graph)
  return graph
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function without(members: Members, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([name]) => !names.includes(name)))
}

/** Gives every step an id of its own, so that there is none that cannot be reached. */
function withIds(inner: Members): Members {
  const all = [...flatten(listOf(inner['steps'])), ...flatten(listOf(inner['error_handlers']))].filter(
    isObject,
  )
  const taken = new Set(all.flatMap(({ id }) => (isUsable(id) ? id : [])))
  const seen = new Set<string>()
  const identify = (step: unknown): unknown => {
    if (!isObject(step)) return step
    let { id } = step
    if (!isUsable(id) || seen.has(id)) {
      id = freshId(typeof step['type'] === 'string' ? step['type'] : 'step', taken)
      taken.add(id as string)
    }
    seen.add(id as string)
    const body = bodyList(step)
    return { ...step, id, ...(body !== null && { body: body.map(identify) }) }
  }
  return {
    ...inner,
    steps: listOf(inner['steps']).map(identify),
    error_handlers: listOf(inner['error_handlers']).map(identify),
  }
}

function isUsable(id: unknown): id is string {
  return typeof id === 'string' && id !== '' && id !== END
}

function bodyList(step: Members): readonly unknown[] | null {
  const hasBody = typeof step['type'] === 'string' && stepType(step['type'])?.hasBody === true
  return hasBody && Array.isArray(step['body']) ? (step['body'] as unknown[]) : null
}

/** Steps that are written inside of a loop follow it. One list deep, as the compiler reads them. */
function flatten(steps: readonly unknown[]): unknown[] {
  return steps.flatMap((step) => {
    const body = isObject(step) ? bodyList(step) : null
    return body === null ? [step] : [step, ...body]
  })
}

/** The step with every way out written down, as it leads by itself. */
function explicit(step: unknown, graph: FlowGraph): unknown {
  if (!isObject(step)) return step
  const known = graph.steps.get(step['id'] as string)
  if (known === undefined) return step
  const members: Record<string, unknown> = { ...step }
  if (known.body !== null) members['body'] = known.body
  // What stood in a body that begins with no step follows the loop now; a loop in a loop keeps its own.
  else if (
    bodyList(step)?.every((each) => !isObject(each) || graph.steps.has(each['id'] as string)) === true
  ) {
    Reflect.deleteProperty(members, 'body')
  }
  for (const port of known.ports) {
    const name = portMember(port)
    const target = graph.edgesFrom.get(known.id)?.find((edge) => edge.port === port)?.to
    if (target !== undefined) members[name] = target
    else if (members[name] === null) Reflect.deleteProperty(members, name)
  }
  return members
}

function openTriggers(outer: Members): unknown[] {
  const { trigger_event: event, trigger_filter: filter, trigger } = outer
  const parts: unknown[] = []
  const isLinear = isLinearFormat(outer)
  if (isLinear && event !== undefined && event !== null) parts.push(event)
  if (trigger !== undefined && trigger !== null) parts.push(trigger)
  parts.push(...listOf(outer['triggers']))
  const hasFilter = isLinear && filter !== undefined && filter !== null
  // A filter that waits for its event is kept with it.
  if (hasFilter && parts.length === 0) parts.push([])
  const taken = new Set(parts.flatMap((part) => (isObject(part) && isUsable(part['id']) ? part['id'] : [])))
  const seen = new Set<string>()
  return parts.map((part, index) => {
    const isShort = typeof part === 'string' || Array.isArray(part)
    if (!isShort && !isObject(part)) return part
    const members: Members = isShort
      ? { type: 'event', event_types: [part].flat(), ...(hasFilter && { filter }) }
      : part
    const position = `trigger_${index + 1}`
    const sent = members['id']
    const fallback = taken.has(position) ? freshId('trigger', taken) : position
    const id = isUsable(sent) && !seen.has(sent) ? sent : fallback
    seen.add(id)
    taken.add(id)
    return { ...members, id }
  })
}

function openLayout(sent: unknown, steps: readonly unknown[]): DocumentLayout {
  const layout = isObject(sent) ? sent : {}
  const own = steps.flatMap((step) =>
    isObject(step) && isPoint(step['position']) ? [[step['id'] as string, step['position']] as const] : [],
  )
  const shared = isObject(layout['positions']) ? Object.entries(layout['positions']) : []
  const placed = shared.flatMap(([id, point]) => (isPoint(point) ? [[id, point] as const] : []))
  return {
    positions: Object.fromEntries(own.length > 0 ? own : placed),
    rest: without(layout, ['positions']),
  }
}

function withoutPosition(step: unknown): unknown {
  return isObject(step) && isPoint(step['position']) ? without(step, ['position']) : step
}

function isPoint(value: unknown): value is Point {
  return isObject(value) && Number.isFinite(value['x']) && Number.isFinite(value['y'])
}
