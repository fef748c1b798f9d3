import type { ReadStep } from '../read/step.ts'
import { definitionOf } from '../steps/index.ts'
import type { Edge, FlowGraph } from './links.ts'
import type { Structure } from './structure.ts'

/** Says what certainly holds when a step starts: the steps that have succeeded and the variables that are set. */
export interface Availability {
  hasStep(at: string, id: string): boolean
  hasVariable(at: string, name: string): boolean
  /** Returns whether some step sets it at all. */
  isSetSomewhere(name: string): boolean
}

/** Ports by which a step of any type leaves without an output. */
const WITHOUT_OUTPUT = ['error', 'body']
const BITS = 32

/** Tells a way behind which the step that is left by it has an output. */
export function givesOutput({ steps }: FlowGraph, { from, port }: Edge): boolean {
  const step = steps.get(from)
  return !WITHOUT_OUTPUT.includes(port) && !(step && definitionOf(step.type).withoutOutput.includes(port))
}

/**
 * Goes through the steps once: the values that are there at a step are those that are there at the end of all ways to
 * it. A loop's body passes nothing on.
 *
 * @param order every step before its targets
 * @param entries where nothing has happened yet
 */
export function* findAvailability(
  graph: FlowGraph,
  structure: Structure,
  order: readonly string[],
  entries: readonly string[],
): Generator<undefined, Availability> {
  const facts = new Map<string, number>()
  const indexOf = (fact: string): number => {
    const known = facts.get(fact) ?? facts.size
    facts.set(fact, known)
    return known
  }
  const own = new Map<string, number[]>()
  for (const [id, step] of graph.steps) {
    own.set(id, [stepFact(id), ...variablesOf(step).map(variableFact)].map(indexOf))
    yield
  }
  const words = Math.ceil(facts.size / BITS)
  const at = new Map<string, Uint32Array>(entries.map((id) => [id, new Uint32Array(words)]))
  for (const id of order) {
    const holds = at.get(id)
    if (!holds || !structure.reachable.has(id)) continue
    for (const edge of graph.edges.get(id) ?? []) {
      merge(at, edge.to, givesOutput(graph, edge) ? after(holds, own.get(edge.from) ?? []) : holds.slice())
      yield
    }
  }
  const has = (step: string, fact: string): boolean => {
    const index = facts.get(fact)
    const holds = at.get(step)
    return index !== undefined && holds !== undefined && isSet(holds, index)
  }
  return {
    hasStep: (step, id) => has(step, stepFact(id)),
    hasVariable: (step, name) => has(step, variableFact(name)),
    isSetSomewhere: (name) => facts.has(variableFact(name)),
  }
}

/** @param own the facts that the step itself brings */
function after(holds: Uint32Array, own: readonly number[]): Uint32Array {
  const result = holds.slice()
  for (const fact of own) set(result, fact)
  return result
}

function merge(at: Map<string, Uint32Array>, id: string, coming: Uint32Array): void {
  const known = at.get(id)
  if (!known) {
    at.set(id, coming)
    return
  }
  for (let index = 0; index < known.length; index++) known[index] = (known[index] ?? 0) & (coming[index] ?? 0)
}

function variablesOf({ type, config }: ReadStep): readonly string[] {
  return (config && definitionOf(type).variables?.names(config)) ?? []
}

function stepFact(id: string): string {
  return `step ${id}`
}

function variableFact(name: string): string {
  return `variable ${name}`
}

function set(words: Uint32Array, index: number): void {
  const word = Math.floor(index / BITS)
  words[word] = (words[word] ?? 0) | (1 << (index % BITS))
}

function isSet(words: Uint32Array, index: number): boolean {
  return ((words[Math.floor(index / BITS)] ?? 0) & (1 << (index % BITS))) !== 0
}
