import { endOfChain, type Place } from '../flow/commands/insert.ts'
import { targetOf } from '../flow/commands/parts.ts'
import { type FlowDocument, graphOf } from '../flow/document.ts'
import { hasBody } from '../flow/graph.ts'
import { stepType } from '../flow/step-types.ts'

export interface NamedPlace {
  /** For a choice: the same place has the same key. */
  key: string
  place: Place
  /** The name of the step that it is at; null: none is. */
  step: string | null
  /** The way behind it; null: before it, or at the start. */
  port: string | null
  /** What stands there is an error handler. */
  isHandler: boolean
}

/** Where a step may be put, looking at a step or at the whole flow; the usual place first, the handlers last. */
export function placesAt(document: FlowDocument, selected: string | null): NamedPlace[] {
  const graph = graphOf(document)
  const step = graph.steps.get(selected ?? '')
  const nowhere = { step: null, port: null }
  const start: NamedPlace = { key: 'start', place: { at: 'start' }, ...nowhere, isHandler: false }
  const handlers: NamedPlace = { key: 'handlers', place: { at: 'handlers' }, ...nowhere, isHandler: true }
  const ground: NamedPlace = { key: 'ground', place: { at: 'ground' }, ...nowhere, isHandler: false }
  if (step === undefined) {
    const last = graph.start === null ? undefined : graph.steps.get(endOfChain(document, graph.start))
    const atEnd = last === undefined ? [] : placesAt(document, last.id).filter(({ port }) => port !== null)
    return [...atEnd.slice(0, 1), start, ...(graph.start === null ? [] : [handlers, ground])]
  }
  const ports = [...step.ports, ...(hasBody(step.type) ? ['body'] : [])]
  const main = stepType(step.type)?.mainPort ?? ports[0]
  const inOrder = [...ports].sort((a, b) => Number(b === main) - Number(a === main))
  return [
    ...inOrder.map((port): NamedPlace => {
      const to = targetOf(document, { from: step.id, port }) ?? ''
      return {
        key: wayKey(step.id, port),
        place: { at: 'way', from: step.id, port },
        step: step.name,
        port,
        isHandler: step.isHandler || graph.steps.get(to)?.isHandler === true,
      }
    }),
    {
      key: `before ${step.id}`,
      place: { at: 'before', step: step.id },
      step: step.name,
      port: null,
      isHandler: step.isHandler,
    },
    ground,
  ]
}

/** Where a step may be moved to, in the order of the flow, and where it stands: of the ways that lead to it the first. */
export function placesFor(
  document: FlowDocument,
  moved: string,
): { places: NamedPlace[]; here: string | null } {
  const graph = graphOf(document)
  const others = [...graph.steps.values()].filter(({ id }) => id !== moved)
  const [start] = placesAt(document, null).filter(({ place }) => place.at === 'start')
  const ways = others.flatMap(({ id }) => placesAt(document, id).filter(({ place }) => place.at === 'way'))
  const leadsThere = ({ place }: NamedPlace): boolean =>
    place.at === 'way' && targetOf(document, place) === moved
  const here = graph.start === moved ? start?.key : ways.find(leadsThere)?.key
  const places = [
    ...(start === undefined ? [] : [start]),
    ...ways.filter((each) => each.key === here || !leadsThere(each)),
  ]
  return { places, here: here ?? null }
}

export function wayKey(from: string, port: string): string {
  return `${from} ${port}`
}
