import { findDefinition } from '#lib/flow/steps/index.ts'
import { type CanonicalFlow, type CanonicalStep, END, type StepId } from '#lib/flow/types.ts'
import { compileTemplateTree, templateReferences } from '#lib/template/index.ts'
import { StepError } from '../run/evaluate.ts'
import type { ExecutionError } from '../run/state.ts'

/** A step that the execution has done on its main thread and left by a port. */
export interface DoneStep {
  number: number
  step_id: StepId
  type: string
  /** Of steps that set variables: those. */
  output: unknown
  /** The error that its error port took up. */
  error: { code: string; message: string } | null
}

export interface RetryPlan {
  start: StepId
  /** Numbers of the steps that are carried over, in order. */
  carried: number[]
  variables: Record<string, unknown>
  /** The last error on the way there. */
  caught: ExecutionError | null
}

export type PlanRefusal =
  | { reason: 'step_unknown'; step: StepId }
  /** A loop's items are threads of their own: it is done again as a whole, from the loop. */
  | { reason: 'inside_loop'; step: StepId; loop: StepId }
  /** Handlers are entered by an error, never from before. */
  | { reason: 'inside_handler'; step: StepId }
  | { reason: 'outputs_missing'; step: StepId; missing: string[] }

/** Keeps by step what it cannot do without. Versions never change: what was worked out for one holds. */
const needs = new WeakMap<CanonicalStep, readonly string[]>()

/**
 * Plans how an execution goes on from one step: those that lead to it are carried over, the step and all that can follow
 * it are done. Variables are what the carried steps set.
 *
 * @param flow the version that the retry will run, which need not be that of the steps
 * @throws {StepError} `template_error`
 */
export function planRetry(
  flow: CanonicalFlow,
  from: StepId,
  done: readonly DoneStep[],
): RetryPlan | PlanRefusal {
  const step = Object.hasOwn(flow.steps, from) ? flow.steps[from] : undefined
  if (step === undefined) return { reason: 'step_unknown', step: from }
  if (step.loop !== null) return { reason: 'inside_loop', step: from, loop: step.loop }
  if (!reachedFrom(flow, flow.start).has(from)) return { reason: 'inside_handler', step: from }
  const leading = leadingTo(flow, from)
  const carried = done.filter(({ step_id }) => leading.has(step_id))
  const variables = { ...flow.variables }
  for (const { type, output } of carried) if (setsVariables(type)) Object.assign(variables, output)
  const missing = missingFor(flow, from, carried, variables)
  if (missing.length > 0) return { reason: 'outputs_missing', step: from, missing }
  const failed = carried.findLast(({ error }) => error !== null)
  const caught = failed?.error ? { step_id: failed.step_id, ...failed.error } : null
  return { start: from, carried: carried.map(({ number }) => number), variables, caught }
}

function missingFor(
  flow: CanonicalFlow,
  from: StepId,
  carried: readonly DoneStep[],
  variables: Record<string, unknown>,
): string[] {
  const ahead = reachedFrom(flow, from)
  const there = new Set([...carried.map(({ step_id }) => step_id), ...ahead].map(outputOf))
  for (const name of Object.keys(variables)) there.add(variableOf(name))
  for (const id of ahead) {
    const step = flow.steps[id]
    const names = step && findDefinition(step.type)?.variables?.names(step.config)
    for (const name of names ?? []) there.add(variableOf(name))
  }
  const needed = new Set([...ahead].flatMap((id) => needsOf(flow.steps[id])))
  return [...needed].filter((need) => !there.has(need)).sort()
}

/** Finds the step and all that can follow it, loops' bodies with them. */
function reachedFrom(flow: CanonicalFlow, from: StepId): Set<StepId> {
  const reached = new Set<StepId>()
  const open: StepId[] = [from]
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const step = flow.steps[id]
    if (step === undefined || reached.has(id)) continue
    reached.add(id)
    open.push(...targetsOf(step))
    const body = findDefinition(step.type)?.body?.first(step.config)
    if (body !== undefined) open.push(body)
  }
  return reached
}

/** Finds every step from which a way leads to this one. */
function leadingTo(flow: CanonicalFlow, to: StepId): Set<StepId> {
  const sources = new Map<StepId, StepId[]>()
  for (const [id, step] of Object.entries(flow.steps)) {
    for (const target of targetsOf(step)) {
      const known = sources.get(target)
      if (known === undefined) sources.set(target, [id])
      else known.push(id)
    }
  }
  const leading = new Set<StepId>()
  const open = [...(sources.get(to) ?? [])]
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (leading.has(id)) continue
    leading.add(id)
    open.push(...(sources.get(id) ?? []))
  }
  return leading
}

function targetsOf(step: CanonicalStep): StepId[] {
  const targets: (StepId | undefined)[] = Object.values(step.next)
  return targets.filter((target) => target !== undefined).filter((target) => target !== END)
}

/**
 * Lists what a step's templates cannot do without. What has a default, and what conditions test, may be missing. The
 * compiler that accepted them may have been another release's. @throws {StepError} `template_error`
 */
function needsOf(step: CanonicalStep | undefined): readonly string[] {
  if (step === undefined) return []
  const known = needs.get(step)
  if (known !== undefined) return known
  const compiled = compileTemplateTree(step.config)
  if ('problems' in compiled)
    throw new StepError('template_error', compiled.problems[0]?.message ?? 'The template cannot be read.')
  const found = templateReferences(compiled.template).flatMap(({ operand, hasDefault }) => {
    const [name] = operand.path
    if (hasDefault || name === undefined) return []
    if (operand.root === 'steps') return [outputOf(String(name))]
    return operand.root === 'variables' ? [variableOf(String(name))] : []
  })
  needs.set(step, found)
  return found
}

function setsVariables(type: string): boolean {
  return (findDefinition(type)?.variables ?? null) !== null
}

function outputOf(id: StepId): string {
  return `steps.${id}.output`
}

function variableOf(name: string): string {
  return `variables.${name}`
}
