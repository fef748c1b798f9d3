import type { FlowTrigger } from './graph.ts'

/** The types of events that start a flow, each once. */
export function eventTypesOf(triggers: readonly FlowTrigger[]): string[] {
  const named = triggers
    .filter(({ type }) => type === 'event')
    .flatMap(({ members }) => [members['event_types'] ?? members['event_type'] ?? []].flat() as unknown[])
  return [...new Set(named.filter((name) => typeof name === 'string' && name !== ''))] as string[]
}
