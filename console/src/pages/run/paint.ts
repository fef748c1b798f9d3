import { wayId } from '../../canvas/layout.ts'
import type { CardState, Painting } from '../../canvas/painting.ts'
import type { FlowGraph } from '../../flow/graph.ts'
import type { Current } from './timeline.ts'

type Done = {
  step_id: string
  iteration: string
  status: string
  port: string | null
  attempts: number
}

interface Texts {
  tries: (count: number) => string
  failedItems: (failed: number, all: number) => string
  /** Of what is being done: since when, and at which attempt; of what is tried again when that is. */
  standing?: (current: Current) => string | null
  itemsNow?: (count: number) => string
}

/** What has happened, on the cards: how each step went, by which ways, and of a loop's steps how often they failed. */
export function paint(
  graph: FlowGraph,
  steps: readonly Done[],
  currents: readonly Current[],
  startedBy: string,
  texts: Texts,
): Painting {
  const cards = new Map<string, CardState>()
  const ways = new Set<string>()
  for (const [id, records] of Map.groupBy(steps, ({ step_id }) => step_id)) {
    const last = records.at(-1)
    if (last === undefined) continue
    const failed = records.filter(({ status }) => status === 'failed').length
    const isInLoop = last.iteration !== ''
    const status = isInLoop && failed > 0 ? 'failed' : last.status
    const note = isInLoop
      ? texts.failedItems(failed, records.length)
      : last.attempts > 1
        ? texts.tries(last.attempts)
        : null
    cards.set(id, { status, note })
    for (const { port } of records) if (port !== null) ways.add(wayId({ from: id, port, to: '' }))
    const loop = isInLoop ? graph.steps.get(id)?.loop : null
    if (loop != null) {
      ways.add(wayId({ from: loop, port: 'body', to: '' }))
      if (!cards.has(loop)) cards.set(loop, { status: 'running', note: null })
    }
  }
  for (const [id, here] of Map.groupBy(currents, ({ step_id }) => step_id)) {
    const [first] = here
    const state = cards.get(id)
    if (first === undefined) continue
    const isInLoop = first.iteration !== ''
    if (state !== undefined && (!isInLoop || state.status === 'failed')) continue
    const status = here.some((each) => each.status === 'running') ? 'running' : first.status
    const note = isInLoop ? (state?.note ?? texts.itemsNow?.(here.length)) : texts.standing?.(first)
    cards.set(id, { status, note: note ?? null })
    const loop = isInLoop ? graph.steps.get(id)?.loop : null
    if (loop == null) continue
    ways.add(wayId({ from: loop, port: 'body', to: '' }))
    if (!cards.has(loop)) cards.set(loop, { status: 'running', note: null })
  }
  const triggers = graph.triggers.filter(({ id, type }) => id === startedBy || type === startedBy)
  return { cards, ways, triggers: new Set(triggers.map(({ id }) => id)), isPath: true }
}
