import { checkPattern as checkPatternNow } from '#lib/condition/pattern.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { findAvailability } from './graph/availability.ts'
import type { FlowCatalogue } from './catalogue.ts'
import { orderSteps } from './graph/cycles.ts'
import { collectSteps } from './read/drafts.ts'
import type { FlowGraph } from './graph/links.ts'
import { linkSteps } from './graph/links.ts'
import type { FlowProblem } from './problems.ts'
import { ProblemList } from './problems.ts'
import type { Compilation } from './read/reader.ts'
import { reportSecretTexts } from './read/secret-texts.ts'
import { DEFAULT_TIMEOUT_MS, readSettings } from './read/settings.ts'
import { DEFAULT_RETRY } from './retry.ts'
import type { FlowSource, Part } from './read/source.ts'
import { readSource } from './read/source.ts'
import type { ReadStep } from './read/step.ts'
import { readStep } from './read/step.ts'
import type { Structure } from './graph/structure.ts'
import { checkStructure } from './graph/structure.ts'
import { readTriggers } from './read/triggers.ts'
import type { Inspection } from './graph/step-scope.ts'
import { checkUses } from './graph/uses.ts'
import { definitionOf } from './steps/index.ts'
import type { CanonicalFlow, CanonicalStep, FlowSettings, Trigger } from './types.ts'
import { schemaVersionOf } from './schema-version.ts'

export interface CompileResult {
  /** Null as soon as one of the problems is an error. */
  flow: CanonicalFlow | null
  /** At most 200. */
  problems: FlowProblem[]
}

/** As deep as a request body may be. */
const MAX_DEPTH = 64

/**
 * Compiles a definition in either format. Pure: everything about the tenant comes from the catalogue. Never throws,
 * whatever was sent, and takes time in proportion to it; a definition of more than 500 steps is refused unread.
 */
export function compileFlow(
  definition: unknown,
  catalogue: FlowCatalogue,
  options: CompileOptions = {},
): CompileResult {
  const pieces = compileInPieces(definition, catalogue, options)
  let piece = pieces.next()
  while (piece.done !== true) piece = pieces.next()
  return piece.value
}

export interface CompileOptions {
  /** Says what is wrong with a regular expression, or null; for callers that have looked at them before. */
  checkPattern?: (pattern: string) => string | null
  /** Is given what was found out about the flow, however wrong it is, unless too much is to go on. */
  inspect?: (inspection: Inspection) => void
}

/** The same, in pieces of some milliseconds at most: the caller may let others in before it asks for the next one. */
export function* compileInPieces(
  definition: unknown,
  catalogue: FlowCatalogue,
  options: CompileOptions = {},
): Generator<undefined, CompileResult> {
  const problems = new ProblemList(definition)
  if (isDeep(definition)) {
    problems.report('too_large', [], `Nest at most ${MAX_DEPTH} lists and objects.`, null)
    return { flow: null, problems: problems.problems }
  }
  const source = readSource(definition, problems)
  yield
  const flow = source && (yield* compileSource(source, catalogue, problems, options))
  return { flow: problems.hasErrors ? null : flow, problems: problems.problems }
}

function* compileSource(
  source: FlowSource,
  catalogue: FlowCatalogue,
  problems: ProblemList,
  { checkPattern = checkPatternNow, inspect }: CompileOptions,
): Generator<undefined, CanonicalFlow | null> {
  const drafts = collectSteps(source, problems)
  if (problems.problems.some(({ code }) => code === 'too_many_steps')) return null
  const compilation: Compilation = {
    catalogue,
    problems,
    conditions: { checkPattern },
    uses: [],
    schemas: { trigger: [], steps: new Map() },
    startTypes: [],
    typeChecks: [],
    expressions: 0,
    unconnected: 0,
    defaults: { retry: DEFAULT_RETRY, timeoutMs: DEFAULT_TIMEOUT_MS },
  }
  const triggers = readTriggers(compilation, source.triggers, source.triggerFilter)
  const settings = readSettings(compilation, source.settings)
  compilation.defaults.retry = settings.retry
  compilation.defaults.timeoutMs = settings.timeout_ms
  const variables = readInitialVariables(compilation, source.variables)

  const steps = new Map<string, ReadStep>()
  for (const draft of drafts) {
    if (problems.isFull) return null
    steps.set(draft.id, readStep(compilation, draft))
    reportSecretTexts(problems, draft)
    yield
  }
  const graph = yield* linkSteps(compilation, steps)
  const start = readStart(compilation, source, graph)
  if (start === null) {
    const structure: Structure = { reachable: new Set(), loops: new Map() }
    inspect?.({ compilation, graph, structure, availability: null, variables })
    return null
  }
  const handlers = drafts.filter(({ isHandler }) => isHandler).map(({ id }) => id)
  const structure = yield* checkStructure(compilation, graph, start, handlers)
  const { order, hasCycle } = orderSteps(compilation, graph)
  const entries = [start, ...handlers.slice(0, 1)]
  const availability = hasCycle ? null : yield* findAvailability(graph, structure, order, entries)
  const shopVariables = new Set<string>()
  inspect?.({ compilation, graph, structure, availability, variables })
  yield* checkUses({ compilation, graph, structure, availability, entries, variables, shopVariables })
  for (const check of compilation.typeChecks) {
    if (problems.isFull) break
    check()
    yield
  }
  reportSelfTriggers(compilation, graph, triggers)
  if (problems.hasErrors) return null
  const layout = readLayout(source.layout, graph)
  const parts = { graph, structure, start, handlers, triggers, settings, variables, layout }
  if (shopVariables.size === 0) return assemble(parts)
  return assemble({ ...parts, shop_variables: [...shopVariables].sort() })
}

function isDeep(definition: unknown): boolean {
  let level: unknown[] = [definition]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return true
    const below: unknown[] = []
    for (const value of level) {
      if (typeof value !== 'object' || value === null) continue
      for (const member of Object.values(value)) {
        if (typeof member === 'object' && member !== null) below.push(member)
      }
    }
    level = below
  }
  return false
}

function readInitialVariables(compilation: Compilation, part: Part | null): Record<string, unknown> {
  if (part === null) return {}
  if (isPlainObject(part.value)) return part.value
  compilation.problems.report('malformed', part.path, 'Give "variables" an object.', null)
  return {}
}

function readStart(compilation: Compilation, source: FlowSource, graph: FlowGraph): string | null {
  const first = [...graph.steps.values()].find(({ draft }) => !draft.isHandler)?.draft.id ?? null
  if (source.start === null) return first
  const start = source.start.value
  const step = typeof start === 'string' ? graph.steps.get(start) : undefined
  if (step && !step.draft.isHandler) return step.draft.id
  compilation.problems.report('unknown_target', source.start.path, 'Give "start" the id of a step.', null)
  return first
}

function reportSelfTriggers(compilation: Compilation, graph: FlowGraph, triggers: readonly Trigger[]): void {
  const types = new Set(triggers.flatMap((trigger) => (trigger.type === 'event' ? trigger.event_types : [])))
  for (const [id, { type, config, draft }] of graph.steps) {
    const action = config && definitionOf(type).actionOf(config)
    if (action === null) continue
    const resolution = compilation.catalogue.resolveAction(action.action_type, action.plugin_id)
    const emitted =
      'action' in resolution ? resolution.action.emits.find((event) => types.has(event)) : undefined
    if (emitted === undefined) continue
    const message = `This causes "${emitted}", which starts the flow again: add a filter to the trigger that tells its own events.`
    compilation.problems.report('self_trigger', draft.path, message, id)
  }
}

function readLayout(part: Part | null, graph: FlowGraph): Record<string, unknown> {
  const layout = isPlainObject(part?.value) ? part.value : {}
  const positions = [...graph.steps.values()].flatMap(({ draft }) =>
    Object.hasOwn(draft.members, 'position') ? [[draft.id, draft.members['position']] as const] : [],
  )
  return positions.length === 0 ? layout : { ...layout, positions: Object.fromEntries(positions) }
}

interface Parts {
  graph: FlowGraph
  structure: Structure
  start: string
  handlers: string[]
  triggers: Trigger[]
  settings: FlowSettings
  variables: Record<string, unknown>
  shop_variables?: string[]
  layout: Record<string, unknown>
}

function assemble({ graph, structure, ...parts }: Parts): CanonicalFlow {
  const types = [...graph.steps.values()]
  const steps = [...graph.steps].map(([id, { type, config, step }]) => [
    id,
    {
      type,
      ...step,
      config,
      next: graph.next.get(id) ?? {},
      loop: structure.loops.get(id) ?? null,
    } as CanonicalStep,
  ])
  return {
    schema_version: schemaVersionOf(parts.triggers, types),
    ...parts,
    steps: Object.fromEntries(steps) as Record<string, CanonicalStep>,
  }
}
