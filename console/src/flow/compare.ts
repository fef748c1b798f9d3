import { type Difference, differences } from '../kit/diff/members.ts'
import { type FlowDocument, graphOf, listOf, openDocument, without } from './document.ts'
import { END, type FlowEdge, type FlowGraph, isObject, type Members, portMember } from './graph.ts'

/** `rewired`: the step itself is the same, and its ways lead elsewhere. */
export type Fate = 'added' | 'removed' | 'changed' | 'rewired'

export interface WayDifference {
  port: string
  /** A step or `end`; null: there is no such way. */
  before: string | null
  after: string | null
}

export interface StepDifference {
  id: string
  fate: Fate
  /** What it is called in the newer one, or was called in the older one. */
  name: string
  type: string
  /** Members of a changed step, but for its ways. */
  members: readonly Difference[]
  ways: readonly WayDifference[]
}

export interface TriggerDifference {
  id: string
  fate: Exclude<Fate, 'rewired'>
  type: string
  members: readonly Difference[]
}

/** How the newer one of two definitions differs from the older one. */
export interface FlowDifference {
  triggers: readonly TriggerDifference[]
  /** In the order of the newer one, each removed step where it stood. */
  steps: readonly StepDifference[]
  /** Settings, variables and names of the flow. */
  settings: readonly Difference[]
  /** Cards or notes stand elsewhere, or say something else. */
  isLaidOutAnew: boolean
}

/** Compares two definitions, in whichever format each came. */
export function compareFlows(older: unknown, newer: unknown): FlowDifference {
  const [before, after] = [openDocument(older), openDocument(newer)]
  // Whether a flow is active is no part of a version.
  const parts = ['triggers', 'start', 'steps', 'error_handlers', 'status']
  return {
    triggers: compareTriggers(before, after),
    steps: compareSteps(graphOf(before), graphOf(after)),
    settings: differences(without(before.definition, parts), without(after.definition, parts)),
    isLaidOutAnew: JSON.stringify(before.layout) !== JSON.stringify(after.layout),
  }
}

/** True where nothing differs but where things stand. */
export function isSameFlow({ triggers, steps, settings }: FlowDifference): boolean {
  return triggers.length + steps.length + settings.length === 0
}

function compareTriggers(before: FlowDocument, after: FlowDocument): TriggerDifference[] {
  const [old, now] = [triggersOf(before), triggersOf(after)]
  return [...new Set([...now.keys(), ...old.keys()])].flatMap((id): TriggerDifference[] => {
    const [was, is] = [old.get(id), now.get(id)]
    const members = was === undefined || is === undefined ? [] : differences(was, is)
    const fate = was === undefined ? 'added' : is === undefined ? 'removed' : 'changed'
    if (fate === 'changed' && members.length === 0) return []
    const type = (is ?? was)?.['type']
    return [{ id, fate, type: typeof type === 'string' ? type : '?', members }]
  })
}

function triggersOf({ definition }: FlowDocument): Map<string, Members> {
  return new Map(
    listOf(definition['triggers']).flatMap((trigger) =>
      isObject(trigger) ? [[String(trigger['id']), trigger] as const] : [],
    ),
  )
}

function compareSteps(before: FlowGraph, after: FlowGraph): StepDifference[] {
  return orderOfBoth(before, after).flatMap((id): StepDifference[] => {
    const [was, is] = [before.steps.get(id), after.steps.get(id)]
    const step = is ?? was
    if (step === undefined) return []
    const { name, type } = step
    if (was === undefined || is === undefined) {
      return [{ id, fate: was === undefined ? 'added' : 'removed', name, type, members: [], ways: [] }]
    }
    const ways = compareWays(before.edgesFrom.get(id) ?? [], after.edgesFrom.get(id) ?? [])
    const names = [...new Set([...was.ports, ...is.ports])].map(portMember)
    const own = ({ members }: typeof was): Members =>
      without(members, [...names, ...(was.body !== null || is.body !== null ? ['body'] : [])])
    const members = differences(own(was), own(is))
    if (was.isHandler !== is.isHandler) {
      members.push({ path: 'error_handler', before: was.isHandler, after: is.isHandler })
    }
    if (members.length === 0 && ways.length === 0) return []
    return [{ id, fate: members.length > 0 ? 'changed' : 'rewired', name, type, members, ways }]
  })
}

function compareWays(before: readonly FlowEdge[], after: readonly FlowEdge[]): WayDifference[] {
  const leads = (ways: readonly FlowEdge[], port: string): string | null =>
    ways.find((way) => way.port === port)?.to ?? null
  const ports = new Set([...after, ...before].map(({ port }) => port))
  return [...ports]
    .map((port) => ({ port, before: leads(before, port), after: leads(after, port) }))
    .filter((way) => way.before !== way.after)
}

/** The steps of both, each removed one behind the step that it followed. */
function orderOfBoth(before: FlowGraph, after: FlowGraph): string[] {
  const order = [...after.steps.keys()]
  let last: string | null = null
  for (const id of before.steps.keys()) {
    if (!after.steps.has(id)) order.splice(last === null ? 0 : order.indexOf(last) + 1, 0, id)
    last = id
  }
  return order
}

/** Behind the port of a way that the newer flow does not have, in both flows as one. */
const OLDER = ' older'

/** Of what was drawn of both flows as one, by the names of their ways, as the older one has it. */
export function asOlder<Drawn>(ways: ReadonlyMap<string, Drawn>): Map<string, Drawn> {
  const own = [...ways].flatMap(([id, drawn]) =>
    id.endsWith(OLDER) ? [[id.slice(0, -OLDER.length), drawn] as const] : [],
  )
  return new Map([...ways, ...own])
}

/**
 * Returns both flows in one, to be laid out once: what both have then stands at the same place in each. A way that leads
 * elsewhere in the newer one is in it twice.
 */
export function mergedGraph(before: FlowGraph, after: FlowGraph): FlowGraph {
  const steps = new Map(
    orderOfBoth(before, after).flatMap((id) => {
      const step = after.steps.get(id) ?? before.steps.get(id)
      return step === undefined ? [] : [[id, step] as const]
    }),
  )
  const known = new Set(after.edges.map(({ from, port, to }) => `${from} ${port} ${to}`))
  const gone = before.edges.filter(
    ({ from, port, to }) => to !== END && port !== 'body' && !known.has(`${from} ${port} ${to}`),
  )
  const edges = [...after.edges, ...gone.map((way) => ({ ...way, port: way.port + OLDER }))]
  const triggers = new Set(after.triggers.map(({ id }) => id))
  return {
    ...after,
    triggers: [...after.triggers, ...before.triggers.filter(({ id }) => !triggers.has(id))],
    steps,
    edges,
    edgesFrom: Map.groupBy(edges, ({ from }) => from),
    start: after.start ?? before.start,
    handlers: [...steps.values()].flatMap(({ id, isHandler }) => (isHandler ? [id] : [])),
  }
}
