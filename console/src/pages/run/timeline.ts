import type { FlowGraph } from '../../flow/graph.ts'
import type { HeldBack, RunAttempt, RunDetail, RunStep, StepStarted } from './types.ts'

/** A step that is being taken, or waits. */
export interface Current {
  step_id: string
  iteration: string
  status: 'running' | 'waiting'
  reason: string | null
  /** Waiting: when that ends by itself. */
  until: string | null
  events: readonly string[]
  /** Whom it waits for because its call is refused for now; null: for nobody. */
  held: HeldBack | null
  /** Another one that waits for the same tries first. */
  isBehind: boolean
  since: string | null
  /** Which attempt is under way, from 1. */
  attempt: number
  /** Those that failed. */
  attempts: readonly RunAttempt[]
}

export interface Iteration {
  index: string
  status: 'succeeded' | 'failed' | 'waiting' | 'running'
  steps: readonly RunStep[]
  current: Current | null
}

export type Entry =
  | { kind: 'step'; step: RunStep }
  | { kind: 'loop'; id: string; step: RunStep | null; iterations: readonly Iteration[] }
  | { kind: 'current'; current: Current }

/**
 * Says where a run is now: as the stream tells it, else as it was read last. Until either says so, what runs between two
 * waits is known by the way that the last step went on.
 */
export function currentOf(
  run: RunDetail,
  { steps, starts }: { steps: readonly RunStep[]; starts: ReadonlyMap<string, StepStarted> },
  graph: FlowGraph | null,
): Current[] {
  if (!['running', 'waiting', 'queued'].includes(run.status)) return []
  const waits = run.waiting_for.map(({ attempt_log: attempts, ...wait }): Current => {
    // Items of a loop try by themselves.
    const held = wait.reason === 'retry' && wait.iteration === '' ? run.held_back : null
    const isBehind = held !== null && held.first.id !== run.id
    return { ...wait, status: 'waiting', held, isBehind, since: null, attempt: 1, attempts }
  })
  if (run.status !== 'running') return waits
  const at = new Map(
    run.at.map((each) => [each.iteration, running({ ...each, attempts: each.attempt_log ?? [] })]),
  )
  for (const wait of waits) at.set(wait.iteration, wait)
  const placeOf = (step: string, iteration: string): string => `${iteration} ${step}`
  const ended = new Set(steps.map(({ step_id, iteration }) => placeOf(step_id, iteration)))
  for (const start of starts.values()) {
    // It is over: what waits behind it has not been told as begun.
    if (ended.has(placeOf(start.step_id, start.iteration))) continue
    const known = at.get(start.iteration)
    // It began, failed, and waits to be tried again: what the stream said last of it is older.
    const isOver = known?.status === 'waiting' && known.step_id === start.step_id
    if (isOver && (known.attempts.at(-1)?.number ?? 0) >= start.attempt) continue
    const attempts = known?.step_id === start.step_id ? known.attempts : []
    at.set(start.iteration, running({ ...start, attempts }))
  }
  for (const [iteration, { step_id }] of at) if (ended.has(placeOf(step_id, iteration))) at.delete(iteration)
  if (at.size > 0) {
    return [...at.values()].map((each) => ({ ...each, since: each.since ?? run.started_at }))
  }
  if (graph === null) return []
  const last = steps.findLast(({ iteration }) => iteration === '')
  const next =
    last === undefined
      ? graph.start
      : (graph.edgesFrom.get(last.step_id)?.find(({ port }) => port === last.port)?.to ?? null)
  if (next === null || !graph.steps.has(next)) return []
  const since = last?.finished_at ?? run.started_at
  return [running({ step_id: next, iteration: '', since, attempt: 1, attempts: [] })]
}

function running({
  step_id,
  iteration,
  since,
  attempt,
  attempts,
}: Pick<Current, 'step_id' | 'iteration' | 'since' | 'attempt' | 'attempts'>): Current {
  const now = {
    status: 'running',
    reason: null,
    until: null,
    events: [],
    held: null,
    isBehind: false,
  } as const
  return { step_id, iteration, since, attempt, attempts, ...now }
}

/** The steps of a run in the order in which they ended, with what happened in a loop gathered in one place. */
export function timelineOf(
  steps: readonly RunStep[],
  currents: readonly Current[],
  graph: FlowGraph | null,
): Entry[] {
  const entries: Entry[] = []
  const loops = new Map<string, { id: string; step: RunStep | null; records: RunStep[] }>()
  let lastLoop = ''
  const loopAt = (id: string): { id: string; step: RunStep | null; records: RunStep[] } => {
    const known = loops.get(id)
    if (known !== undefined) return known
    const loop = { id, step: null, records: [] }
    loops.set(id, loop)
    entries.push({ kind: 'loop', id, step: null, iterations: [] })
    return loop
  }
  for (const step of steps) {
    if (step.iteration !== '') {
      lastLoop = graph?.steps.get(step.step_id)?.loop ?? lastLoop
      loopAt(lastLoop).records.push(step)
    } else if (step.type === 'for_each' || loops.has(step.step_id)) {
      loopAt(step.step_id).step = step
    } else entries.push({ kind: 'step', step })
  }
  for (const current of currents) {
    const loop = current.iteration === '' ? null : (graph?.steps.get(current.step_id)?.loop ?? lastLoop)
    if (loop !== null) loopAt(loop)
    else if (loops.has(current.step_id)) continue
    else if (graph?.steps.get(current.step_id)?.type === 'for_each') loopAt(current.step_id)
    else entries.push({ kind: 'current', current })
  }
  return entries.map((entry) => {
    const loop = entry.kind === 'loop' ? loops.get(entry.id) : undefined
    if (loop === undefined) return entry
    const inside = currents.filter(
      ({ step_id, iteration }) =>
        iteration !== '' && (graph?.steps.get(step_id)?.loop ?? loop.id) === loop.id,
    )
    return { kind: 'loop', id: loop.id, step: loop.step, iterations: iterationsOf(loop.records, inside) }
  })
}

function iterationsOf(records: readonly RunStep[], currents: readonly Current[]): Iteration[] {
  const byIndex = new Map<string, { steps: RunStep[]; current: Current | null }>()
  const at = (index: string): { steps: RunStep[]; current: Current | null } => {
    const known = byIndex.get(index) ?? { steps: [], current: null }
    byIndex.set(index, known)
    return known
  }
  for (const record of records) at(record.iteration).steps.push(record)
  for (const current of currents) at(current.iteration).current = current
  return [...byIndex]
    .sort(([one], [other]) => Number(one) - Number(other))
    .map(([index, { steps, current }]) => ({
      index,
      steps,
      current,
      status: current?.status ?? (steps.at(-1)?.status === 'failed' ? 'failed' : 'succeeded'),
    }))
}
