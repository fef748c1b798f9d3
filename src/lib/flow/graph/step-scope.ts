import { parsePath, readPath } from '#lib/json/path.ts'
import { isRawNumber } from '#lib/json/raw-number.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { TemplateRoot } from '#lib/template/index.ts'
import { isTemplateRoot } from '#lib/template/index.ts'
import { exactText, expandPath } from '../read/template.ts'
import type { Compilation } from '../read/reader.ts'
import { schemasOfPath } from '../schemas.ts'
import { SCOPE_FIELDS } from '../scope.ts'
import { definitionOf } from '../steps/index.ts'
import type { Availability } from './availability.ts'
import type { FlowGraph } from './links.ts'
import { reachableFrom } from './links.ts'
import type { Structure } from './structure.ts'

/** Holds what compiling a flow finds out about it. */
export interface Inspection {
  compilation: Compilation
  graph: FlowGraph
  structure: Structure
  availability: Availability | null
  variables: Record<string, unknown>
}

/** Names one value that a template may read. */
export interface ScopeEntry {
  /** As it is written in a template. */
  path: string
  /** Of JSON, several with ` | ` between; `any`: nothing is declared. */
  type: string
  group: TemplateRoot
  /** An example, where one is known. */
  sample?: unknown
  /** It is not there on every path to the step: give it a default. */
  may_be_missing?: true
}

const MAX_DEPTH = 4
/** A picker with more is searched, not read. */
const MAX_ENTRIES = 2_000
const NAME = /^[^\s.[\]{}|"'`]+$/

class Entries {
  readonly list: ScopeEntry[] = []

  /** Adds a value and its members, by its schema and by an example. */
  add(path: string, group: TemplateRoot, known: Known, depth = 0): void {
    const { schema, sample, mayBeMissing = false } = known
    if (this.list.length >= MAX_ENTRIES) return
    if (depth > 0 || !isOpen(known)) {
      this.list.push({
        path,
        type: typeOf(schema, sample),
        group,
        ...(sample !== undefined && { sample }),
        ...(mayBeMissing && { may_be_missing: true as const }),
      })
    }
    if (depth >= MAX_DEPTH) return
    const members = isPlainObject(sample) && !isRawNumber(sample) ? sample : {}
    const names = new Set([...Object.keys(schema?.properties ?? {}), ...Object.keys(members)])
    for (const name of names) {
      if (!NAME.test(name)) continue
      const below = { schema: schema?.properties?.[name] ?? null, sample: members[name], mayBeMissing }
      this.add(`${path}.${name}`, group, below, depth + 1)
    }
    const first: unknown = Array.isArray(sample) ? sample[0] : undefined
    const item = schema?.items ?? null
    if (!item?.properties && !isPlainObject(first)) return
    this.add(`${path}[0]`, group, { schema: item, sample: first, mayBeMissing }, depth + 1)
  }
}

interface Known {
  schema: SafeSchema | null
  sample?: unknown
  mayBeMissing?: boolean
}

/** Lists the values that templates of a step may read; null: those that triggers and the flow's settings may. */
export function scopeAt(inspection: Inspection, stepId: string | null): ScopeEntry[] {
  const entries = new Entries()
  addTrigger(inspection, entries)
  if (stepId !== null && inspection.graph.steps.has(stepId)) {
    addItem(inspection, entries, stepId)
    addSteps(inspection, entries, stepId)
    addVariables(inspection, entries, stepId)
    addFields(entries, 'execution')
    for (const name of ['step_id', 'code', 'message']) {
      const isHandler = inspection.graph.steps.get(stepId)?.draft.isHandler === true
      const known = { schema: { type: 'string' } as const, mayBeMissing: !isHandler }
      entries.add(`execution.error.${name}`, 'execution', known, 1)
    }
  }
  addFields(entries, 'event')
  addFields(entries, 'tenant')
  entries.add('now', 'now', { schema: { type: 'string', format: 'date-time' } })
  return entries.list
}

/** By each way of starting the flow: a value that one of them declares may be missing by another. */
function addTrigger({ compilation }: Inspection, entries: Entries): void {
  const { schemas, samples } = startsOf(compilation)
  const all = new Map<string, { entry: ScopeEntry; count: number }>()
  for (const [index, schema] of schemas.entries()) {
    const one = new Entries()
    one.add('trigger', 'trigger', { schema, sample: samples[index] })
    for (const entry of one.list) {
      const known = all.get(entry.path)
      all.set(entry.path, { entry: known?.entry ?? entry, count: (known?.count ?? 0) + 1 })
    }
  }
  for (const { entry, count } of all.values()) {
    const isSure = count === schemas.length || entry.path === 'trigger'
    entries.list.push(isSure ? entry : { ...entry, may_be_missing: true })
  }
}

function startsOf({ schemas, catalogue, startTypes }: Compilation): {
  schemas: readonly (SafeSchema | null)[]
  samples: unknown[]
} {
  const samples = startTypes.map((type) =>
    type === null ? undefined : catalogue.eventTypes.get(type)?.sample,
  )
  return { schemas: schemas.trigger, samples: samples.map((sample) => sample ?? undefined) }
}

/** In a body, the item of the loop's list. */
function addItem({ compilation, graph, structure }: Inspection, entries: Entries, stepId: string): void {
  const loop = structure.loops.get(stepId)
  const list = loop === undefined ? undefined : graph.steps.get(loop)?.draft.members['list']
  if (loop === undefined) return
  const exact = typeof list === 'string' ? exactText(expandPath(list) ?? list) : null
  const operand = exact?.operand.kind === 'path' && exact.filters.length === 0 ? exact.operand : null
  const [schema = null] =
    operand === null
      ? []
      : schemasOfPath(compilation.schemas, compilation.catalogue, operand.root, operand.path, null)
  const sample = operand?.root === 'trigger' ? sampleAt(compilation, operand.text) : undefined
  entries.list.push({ path: 'item', type: typeOf(schema?.items ?? null, sample), group: 'item' })
  const below = new Entries()
  below.add('item', 'item', { schema: schema?.items ?? null, sample })
  entries.list.push(...below.list.filter(({ path }) => path !== 'item'))
}

/** The first item of a list in the examples of what starts the flow. */
function sampleAt(compilation: Compilation, text: string): unknown {
  const [root, ...below] = parsePath(text) ?? []
  if (!isTemplateRoot(root)) return undefined
  for (const sample of startsOf(compilation).samples) {
    const list = readPath(sample, below)
    if (Array.isArray(list)) return list[0] as unknown
  }
  return undefined
}

function addSteps(inspection: Inspection, entries: Entries, stepId: string): void {
  const { graph, structure, availability, compilation } = inspection
  for (const [id, step] of graph.steps) {
    if (id === stepId) continue
    const loop = structure.loops.get(id)
    if (loop !== undefined && loop !== structure.loops.get(stepId)) continue
    const isSure = availability?.hasStep(stepId, id) === true
    // On some path it comes before: its output may be missing.
    if (!isSure && !reachableFrom(graph, [id]).has(stepId)) continue
    const output =
      compilation.schemas.steps.get(id) ??
      (step.config === null ? null : definitionOf(step.type).output(step.config))
    if (output === null) continue
    entries.add(`steps.${id}.output`, 'steps', { schema: output, mayBeMissing: !isSure })
  }
}

function addVariables(
  { compilation, graph, variables, availability }: Inspection,
  entries: Entries,
  stepId: string,
): void {
  const seen = new Set<string>()
  const add = (name: string, known: Known): void => {
    if (seen.has(name)) return
    seen.add(name)
    entries.add(`variables.${name}`, 'variables', known, 1)
  }
  for (const [name, sample] of Object.entries(variables)) {
    if (NAME.test(name)) add(name, { schema: null, sample })
  }
  const ofShop = compilation.catalogue.variables ?? new Set<string>()
  for (const { type, config } of graph.steps.values()) {
    for (const name of (config && definitionOf(type).variables?.names(config)) ?? []) {
      const isSure = ofShop.has(name) || availability?.hasVariable(stepId, name) === true
      add(name, { schema: null, mayBeMissing: !isSure })
    }
  }
  for (const name of ofShop) add(name, { schema: null })
}

function addFields(entries: Entries, root: keyof typeof SCOPE_FIELDS): void {
  for (const name of SCOPE_FIELDS[root]) {
    // The data is what stands under trigger, and errors have entries of their own.
    if (name === 'data' || name === 'error') continue
    entries.add(`${root}.${name}`, root, { schema: { type: name === 'version' ? 'integer' : 'string' } }, 1)
  }
}

/** It has members that are listed, and is nothing to write into a text itself. */
function isOpen({ schema, sample }: Known): boolean {
  return schema?.properties !== undefined || isPlainObject(sample)
}

function typeOf(schema: SafeSchema | null, sample: unknown): string {
  if (schema?.type !== undefined) return [schema.type].flat().join(' | ')
  if (sample === undefined) return 'any'
  if (sample === null) return 'null'
  if (isRawNumber(sample)) return 'number'
  return Array.isArray(sample) ? 'array' : typeof sample
}
