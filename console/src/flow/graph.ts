import { stepType } from './step-types.ts'

/**
 * A flow's definition as a graph, in either format and however unfinished it is: what the canvas, the outline and the
 * builder show. Where a port leads is what the compiler says (src/lib/flow); a test holds the two together.
 */
export const END = 'end'

export type Members = Readonly<Record<string, unknown>>

export interface FlowTrigger {
  id: string
  type: string
  members: Members
}

export interface FlowStep {
  id: string
  type: string
  /** What people call it; without one, its id. */
  name: string
  members: Members
  /** The ways out of it, in the order in which they are drawn; of a loop without the way into its body. */
  ports: readonly string[]
  isHandler: boolean
  /** The loop in whose body it stands. */
  loop: string | null
  /** Of a loop: the first step of its body. */
  body: string | null
}

export interface FlowEdge {
  from: string
  /** `body` for the way from a loop into its body. */
  port: string
  /** A step, or `end`. */
  to: string
}

export interface FlowGraph {
  triggers: readonly FlowTrigger[]
  /** The first step; null: there are no steps. */
  start: string | null
  /** In the order in which they are written, those of a body after their loop, handlers last. */
  steps: ReadonlyMap<string, FlowStep>
  edges: readonly FlowEdge[]
  edgesFrom: ReadonlyMap<string, readonly FlowEdge[]>
  handlers: readonly string[]
}

interface Draft {
  id: string
  members: Members
  isHandler: boolean
  siblings: readonly string[]
  position: number
}

/** Reads whatever was sent: what is no step, or takes the id of another, is left out. */
export function readGraph(definition: unknown): FlowGraph {
  const outer = isObject(definition) ? definition : {}
  const inner = isObject(outer['flow_definition']) ? outer['flow_definition'] : outer
  const drafts = collect(inner)
  const steps = new Map<string, FlowStep>()
  const edges: FlowEdge[] = []
  const add = (from: string, port: string, to: string): void => {
    edges.push({ from, port, to })
  }
  for (const draft of drafts.values()) steps.set(draft.id, toStep(draft, drafts))
  const isLoop = ({ id }: Draft): boolean => hasBody(steps.get(id)?.type)
  // What follows a loop depends on where its body ends, hence loops last.
  for (const draft of [...drafts.values()].sort((a, b) => Number(isLoop(a)) - Number(isLoop(b)))) {
    const step = steps.get(draft.id)
    if (step === undefined) continue
    if (step.body !== null) add(step.id, 'body', step.body)
    for (const port of step.ports) {
      const target = targetOf(draft, port, steps, edges)
      if (target !== null) add(step.id, port, target)
    }
  }
  markBodies(steps, edges)
  const start = inner['start']
  const first = [...drafts.values()].find(({ isHandler }) => !isHandler)?.id ?? null
  return {
    triggers: readTriggers(outer),
    start: typeof start === 'string' && steps.get(start)?.isHandler === false ? start : first,
    steps,
    edges,
    edgesFrom: Map.groupBy(edges, ({ from }) => from),
    handlers: [...steps.values()].flatMap(({ id, isHandler }) => (isHandler ? [id] : [])),
  }
}

function collect(inner: Members): Map<string, Draft> {
  const drafts = new Map<string, Draft>()
  const take = (list: unknown, isHandler: boolean, isBody: boolean): void => {
    const siblings: string[] = []
    for (const members of Array.isArray(list) ? (list as unknown[]) : []) {
      if (!isObject(members) || typeof members['id'] !== 'string') continue
      const { id } = members
      if (id === END || drafts.has(id)) continue
      drafts.set(id, { id, members, isHandler, siblings, position: siblings.length })
      siblings.push(id)
      if (!isBody && hasBody(members['type'])) take(members['body'], false, true)
    }
  }
  take(inner['steps'], false, false)
  take(inner['error_handlers'], true, false)
  return drafts
}

function toStep({ id, members, isHandler }: Draft, drafts: ReadonlyMap<string, Draft>): FlowStep {
  const { name, body } = members
  const type = typeof members['type'] === 'string' ? members['type'] : '?'
  const firstInside: unknown = Array.isArray(body) ? (body[0] as Members | undefined)?.['id'] : body
  const isEntered = hasBody(type) && typeof firstInside === 'string' && drafts.has(firstInside)
  return {
    id,
    type,
    name: typeof name === 'string' && name !== '' ? name : id,
    members,
    ports: portsOf(type, members),
    isHandler,
    loop: null,
    body: isEntered ? firstInside : null,
  }
}

function portsOf(type: string, members: Members): readonly string[] {
  const known = stepType(type)
  if (known !== null) return known.ports(members)
  const named = Object.keys(members).flatMap((name) =>
    name === 'next' ? name : (/^on_(.+)$/.exec(name)?.[1] ?? []),
  )
  return named.length === 0 ? ['next'] : named
}

/** Null: an error that goes to the flow's handlers, or a step that does not exist. */
function targetOf(
  draft: Draft,
  port: string,
  steps: ReadonlyMap<string, FlowStep>,
  edges: readonly FlowEdge[],
): string | null {
  const sent = draft.members[portMember(port)] ?? undefined
  if (sent !== undefined) {
    return typeof sent === 'string' && (sent === END || steps.has(sent)) ? sent : null
  }
  if (port === 'error') return null
  const type = stepType(steps.get(draft.id)?.type ?? '')
  if (!(type === null ? port === 'next' : type.goesOn.includes(port))) return END
  const body = steps.get(draft.id)?.body ?? null
  const inBody = body === null ? new Set() : reachable(edges, body)
  return draft.siblings.slice(draft.position + 1).find((id) => !inBody.has(id)) ?? END
}

function reachable(edges: readonly FlowEdge[], start: string): Set<string> {
  const from = Map.groupBy(edges, (edge) => edge.from)
  const reached = new Set([start])
  for (const id of reached) for (const { to } of from.get(id) ?? []) if (to !== END) reached.add(to)
  return reached
}

/** A body is what its first step leads to, but for error handlers. */
function markBodies(steps: Map<string, FlowStep>, edges: readonly FlowEdge[]): void {
  const inside = edges.filter(({ to }) => steps.get(to)?.isHandler === false)
  for (const { id: loop, body } of [...steps.values()]) {
    if (body === null) continue
    for (const id of reachable(inside, body)) {
      const step = steps.get(id)
      if (step !== undefined && step.loop === null && id !== loop) steps.set(id, { ...step, loop })
    }
  }
}

/** The loop within which a step is drawn. In a draft loops may stand in one another: then the outermost; null: none. */
export function scopeOf({ steps }: FlowGraph, { loop }: FlowStep): string | null {
  const seen = new Set<string>()
  for (let at = loop; at !== null; at = steps.get(at)?.loop ?? null) {
    if (seen.has(at)) return null
    seen.add(at)
  }
  return [...seen].at(-1) ?? null
}

function readTriggers(definition: Members): FlowTrigger[] {
  const { trigger, triggers, trigger_event: event, trigger_filter: filter } = definition
  const parts: unknown[] = []
  if (event !== undefined && event !== null) {
    parts.push({ type: 'event', event_types: [event].flat(), ...(filter !== undefined && { filter }) })
  }
  if (isObject(trigger)) parts.push(trigger)
  if (Array.isArray(triggers)) parts.push(...(triggers as unknown[]))
  return parts.filter(isObject).map((members, index) => ({
    id: typeof members['id'] === 'string' ? members['id'] : `trigger_${index + 1}`,
    type: typeof members['type'] === 'string' ? members['type'] : '?',
    members,
  }))
}

/** The member that says where a port leads. */
export function portMember(port: string): string {
  return port === 'next' || port === 'body' ? port : `on_${port}`
}

export function hasBody(type: unknown): boolean {
  return typeof type === 'string' && stepType(type)?.hasBody === true
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
