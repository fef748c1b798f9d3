import { type Availability, givesOutput } from './availability.ts'
import { type Edge, type FlowGraph, reachableFrom } from './links.ts'
import type { FlowProblemCode, Severity } from '../problems.ts'
import type { Compilation, Use } from '../read/reader.ts'
import { lookUp } from '../schemas.ts'
import { SCOPE_FIELDS } from '../scope.ts'
import type { Structure } from './structure.ts'

/** Holds what uses are judged by, once all steps are known. */
export interface UseContext {
  compilation: Compilation
  graph: FlowGraph
  structure: Structure
  /** Null: the steps lead back to themselves, so their order is not known. */
  availability: Availability | null
  /** The steps at which executions come in. */
  entries: readonly string[]
  /** The `variables` with which executions start. */
  variables: Record<string, unknown>
  /** Filled with the names of the shop's variables that are read. */
  shopVariables: Set<string>
}

/** Reports every path that a template or a condition reads and that will or may not be there. */
export function* checkUses(context: UseContext): Generator<undefined, void> {
  for (const use of context.compilation.uses) {
    if (context.compilation.problems.isFull) return
    checkUse(context, use)
    yield
  }
}

function checkUse(context: UseContext, use: Use): void {
  // The list's own check tells whether it is there at all.
  if (use.isThroughLoop === true && (use.root === 'item' || use.root === 'variables')) return
  if (!use.place.roots.includes(use.root)) {
    const roots = use.place.roots.join(', ')
    report(context, use, 'unknown_root', `"${use.root}" is not there yet: start with one of ${roots}.`)
    return
  }
  switch (use.root) {
    case 'steps':
      checkStepUse(context, use)
      break
    case 'variables':
      checkVariableUse(context, use)
      break
    case 'item':
      if (use.place.inBody === true) break
      if (use.stepId === null || !context.structure.loops.has(use.stepId)) {
        const message =
          '"item" is there in the body of a for_each only; a field of the event is trigger.item.'
        report(context, use, 'item_outside_loop', message)
      }
      break
    case 'trigger':
      checkDeclared(context, use, context.compilation.schemas.trigger, use.below)
      break
    case 'event':
    case 'execution':
    case 'tenant':
      checkFields(context, use, use.root)
      break
    case 'now':
      break
  }
}

function checkStepUse(context: UseContext, use: Use): void {
  const id = String(use.below[0])
  const { graph, structure, availability } = context
  if (!graph.steps.has(id)) {
    if (use.isThroughLoop === true) return
    const near = context.compilation.problems.near(id, graph.steps.keys())
    const advice = near === null ? 'use the id of a step before this one' : `did you mean "${near}"?`
    report(context, use, 'unknown_step', `There is no step "${id.slice(0, 64)}": ${advice}`)
    return
  }
  if (use.below[1] === 'output' && use.below[2] === 'error') {
    checkErrorUse(context, use, id)
    return
  }
  const schema = context.compilation.schemas.steps.get(id)
  if (schema) checkDeclared(context, use, [schema], use.below.slice(2))
  if (use.isThroughLoop === true) return
  if (use.stepId === null || use.mayBeMissing || !availability || !structure.reachable.has(use.stepId)) return
  if (use.place.inBody === true && structure.loops.get(id) === use.stepId) return
  if (availability.hasStep(use.stepId, id) || (id === use.stepId && use.place.ownOutput)) return
  const { oneOf = [] } = use
  const isOneThere = (edge: Edge): boolean => oneOf.includes(edge.from) && givesOutput(graph, edge)
  if (oneOf.length > 1 && !isAvoidable(context, use.stepId, isOneThere)) return
  const loop = structure.loops.get(id)
  const message =
    id === use.stepId
      ? 'A step cannot read its own result.'
      : loop !== undefined && loop !== structure.loops.get(use.stepId)
        ? `"${id}" runs in the loop "${loop}": its results are in steps.${loop}.output.`
        : `"${id}" has not succeeded on every path to this step: lead all paths through it, or add | default: "".`
  report(context, use, 'step_not_before', message)
}

/** Checks a use of a step's error: it stands in the step's output where its error port leads, and nowhere else. */
function checkErrorUse(context: UseContext, use: Use, id: string): void {
  const { graph, structure, availability } = context
  const edges = graph.edges.get(id) ?? []
  if (!edges.some(({ port }) => port === 'error')) {
    const message = `"${id}" has no "on_error" that leads to a step: in error handlers, read execution.error.`
    report(context, use, 'step_not_before', message)
    return
  }
  if (use.stepId === null || use.mayBeMissing || !availability || !structure.reachable.has(use.stepId)) return
  const isFailure = ({ from, port }: Edge): boolean => from === id && port === 'error'
  if (!isAvoidable(context, use.stepId, isFailure)) return
  const message = `"${id}" has not failed on every path to this step: lead its "on_error" alone here, or add a default.`
  report(context, use, 'step_not_before', message)
}

/** Tells a step to which executions can come without going any of these ways. */
function isAvoidable({ graph, entries }: UseContext, stepId: string, ways: (edge: Edge) => boolean): boolean {
  return reachableFrom(graph, entries, (edge) => !ways(edge)).has(stepId)
}

function checkVariableUse(context: UseContext, use: Use): void {
  const [first] = use.below
  if (first === undefined || Object.hasOwn(context.variables, first)) return
  const name = String(first)
  const { availability, structure } = context
  const ofShop = context.compilation.catalogue.variables
  const isOfShop = ofShop?.has(name) === true
  // One that may be missing now may be there some day, unless the flow sets it itself.
  if (isOfShop || (use.mayBeMissing && availability?.isSetSomewhere(name) === false)) {
    context.shopVariables.add(name)
  }
  if (isOfShop || use.mayBeMissing || !availability) return
  if (!availability.isSetSomewhere(name)) {
    const known = [...Object.keys(context.variables), ...(ofShop ?? [])]
    const near = context.compilation.problems.near(name, known)
    const advice =
      near === null
        ? 'give it a value in "variables", by a set step, or for all flows by PUT /api/variables/{name}'
        : `did you mean "${near}"?`
    report(context, use, 'unknown_variable', `Nothing sets the variable "${name.slice(0, 64)}": ${advice}`)
    return
  }
  if (use.stepId !== null && !structure.reachable.has(use.stepId)) return
  if (use.place.inBody === true) return
  if (use.stepId !== null && availability.hasVariable(use.stepId, name)) return
  const message = `"${name}" is not set on every path to this step: give it a value in "variables", or add a default.`
  report(context, use, 'variable_not_set', message)
}

/** Checks a path: it is known if one way of starting the flow declares it, or says nothing about it. */
function checkDeclared(
  context: UseContext,
  use: Use,
  schemas: Compilation['schemas']['trigger'],
  below: Use['below'],
): void {
  if (below.length === 0 || use.mayBeMissing) return
  const lookups = schemas.map((schema) => lookUp(schema, below))
  const missing = lookups.flatMap((each) => ('missing' in each && each.missing !== 'unknown' ? [each] : []))
  if (missing.length < lookups.length || missing.length === 0) return
  const names = [...new Set(missing.flatMap((each) => each.names))]
  // A value that is no list is reported at the loop's beginning.
  if (use.isThroughLoop === true && names.length === 0) return
  const near = context.compilation.problems.near(String(below.at(-1)), names)
  const known = names.length === 0 ? '' : `: declared are ${names.slice(0, 20).join(', ')}`
  const advice = near === null ? known : `: did you mean "${near}"?`
  const severity = missing.every((each) => each.missing === 'absent') ? 'error' : 'warning'
  report(context, use, 'unknown_path', `${use.text.slice(0, 100)} is not declared${advice}`, severity)
}

function checkFields(context: UseContext, use: Use, root: keyof typeof SCOPE_FIELDS): void {
  const [first, ...rest] = use.below
  if (first === undefined) return
  if (!SCOPE_FIELDS[root].includes(String(first))) {
    const message = `"${root}" has no "${String(first).slice(0, 64)}": it has ${SCOPE_FIELDS[root].join(', ')}.`
    report(context, use, 'unknown_path', message, 'error')
    return
  }
  if (root === 'event' && first === 'data' && rest.length > 0) {
    const { arriving } = use.place
    const { catalogue, schemas } = context.compilation
    const declared =
      arriving === null ? schemas.trigger : [catalogue.eventTypes.get(arriving)?.schema ?? null]
    checkDeclared(context, use, declared, rest)
  }
}

function report(
  { compilation }: UseContext,
  use: Use,
  code: FlowProblemCode,
  message: string,
  severity?: Severity,
): void {
  compilation.problems.report(code, use.path, message, use.stepId, severity)
}
