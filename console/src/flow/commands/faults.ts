import { END, type FlowGraph, hasBody } from '../graph.ts'
import type { Command, FlowDocument } from '../document.ts'
import { graphOf } from '../document.ts'

/** What the compiler says of ways that lead where none may. */
export type StructureCode =
  | 'cycle'
  | 'handler_cycle'
  | 'handler_target'
  | 'handler_type'
  | 'loop_entered'
  | 'loop_nested'
  | 'unknown_handler'
  | 'unknown_target'
  | 'unreachable_step'

/** What may not come of any command; that a step is led to by nothing may be meant. */
const REFUSED: ReadonlySet<StructureCode> = new Set<StructureCode>([
  'cycle',
  'handler_cycle',
  'handler_target',
  'handler_type',
  'loop_entered',
  'loop_nested',
])

interface Fault {
  code: StructureCode
  step: string
}

/** Why a command may not be done: the first fault that it would bring; null: it may. */
export function faultOf(document: FlowDocument, command: Command): StructureCode | null {
  return newFaults(document, command(document)).find(({ code }) => REFUSED.has(code))?.code ?? null
}

/** The same command, which changes nothing where it would bring a fault. */
export function guarded(command: Command, refused: ReadonlySet<StructureCode> = REFUSED): Command {
  return (document) => {
    const after = command(document)
    if (after === document) return document
    return newFaults(document, after).some(({ code }) => refused.has(code)) ? document : after
  }
}

/** Also refuses to leave a step behind that nothing leads to. */
export const CUTS_OFF: ReadonlySet<StructureCode> = new Set([...REFUSED, 'unreachable_step' as const])

function newFaults(before: FlowDocument, after: FlowDocument): Fault[] {
  if (before === after) return []
  const old = new Set(faultsIn(graphOf(before)).map(({ code, step }) => `${code} ${step}`))
  return faultsIn(graphOf(after)).filter(({ code, step }) => !old.has(`${code} ${step}`))
}

/** What is compared with a document again and again is looked through once. */
const known = new WeakMap<FlowGraph, readonly Fault[]>()

function faultsIn(graph: FlowGraph): readonly Fault[] {
  const found = known.get(graph) ?? [
    ...faultsOfLoops(graph),
    ...faultsOfHandlers(graph),
    ...cycles(graph),
    ...unreachable(graph),
  ]
  known.set(graph, found)
  return found
}

function faultsOfLoops(graph: FlowGraph): Fault[] {
  const faults: Fault[] = []
  const loopOf = new Map<string, string>()
  for (const { id: loop, body } of graph.steps.values()) {
    if (body === null) continue
    for (const id of reachableFrom(graph, [body], ({ to }) => graph.steps.get(to)?.isHandler === false)) {
      if (id !== loop && isLoop(graph, id)) faults.push({ code: 'loop_nested', step: id })
      if (!loopOf.has(id)) loopOf.set(id, loop)
    }
  }
  for (const { from, port, to } of [
    ...graph.edges,
    ...(graph.start === null ? [] : [{ from: '', port: '', to: graph.start }]),
  ]) {
    const loop = loopOf.get(to)
    if (loop === undefined || loopOf.get(from) === loop || (from === loop && port === 'body')) continue
    faults.push({ code: 'loop_entered', step: to })
  }
  return faults
}

function isLoop({ steps }: FlowGraph, id: string): boolean {
  return hasBody(steps.get(id)?.type)
}

function faultsOfHandlers(graph: FlowGraph): Fault[] {
  return graph.handlers.flatMap((id): Fault[] => {
    const leaves = (graph.edgesFrom.get(id) ?? []).some(
      ({ to }) => to !== END && graph.steps.get(to)?.isHandler !== true,
    )
    const faults: Fault[] = leaves ? [{ code: 'handler_target', step: id }] : []
    return !isLoop(graph, id) ? faults : [...faults, { code: 'handler_type', step: id }]
  })
}

function cycles(graph: FlowGraph): Fault[] {
  // Those that are left when all have gone that nothing is left to lead to.
  const ways = new Map([...graph.steps.keys()].map((id) => [id, 0]))
  for (const { to } of graph.edges) if (to !== END) ways.set(to, (ways.get(to) ?? 0) + 1)
  const free = [...ways].flatMap(([id, count]) => (count === 0 ? id : []))
  for (const id of free) {
    ways.delete(id)
    for (const { to } of graph.edgesFrom.get(id) ?? []) {
      const left = (ways.get(to) ?? 0) - 1
      if (!ways.has(to)) continue
      ways.set(to, left)
      if (left === 0) free.push(to)
    }
  }
  const left = [...ways.keys()].filter((id) => leadsBack(graph, id, ways))
  return left.map((step) => ({
    code: graph.steps.get(step)?.isHandler === true ? 'handler_cycle' : 'cycle',
    step,
  }))
}

function leadsBack(graph: FlowGraph, id: string, among: ReadonlyMap<string, unknown>): boolean {
  const next = (graph.edgesFrom.get(id) ?? []).flatMap(({ to }) => (among.has(to) ? to : []))
  return reachableFrom(graph, next).has(id)
}

function unreachable(graph: FlowGraph): Fault[] {
  const [handler] = graph.handlers
  const entries = [graph.start, handler ?? null].filter((id) => id !== null)
  const reached = reachableFrom(graph, entries)
  return [...graph.steps.keys()].flatMap((step) =>
    reached.has(step) ? [] : { code: 'unreachable_step', step },
  )
}

function reachableFrom(
  graph: FlowGraph,
  starts: readonly string[],
  follows: (edge: { to: string }) => boolean = () => true,
): Set<string> {
  const reached = new Set(starts.filter((id) => graph.steps.has(id)))
  for (const id of reached) {
    for (const edge of graph.edgesFrom.get(id) ?? []) {
      if (edge.to !== END && follows(edge)) reached.add(edge.to)
    }
  }
  return reached
}
