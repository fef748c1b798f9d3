import type { CheckConditionOptions } from '#lib/condition/index.ts'
import type { TemplateRoot } from '#lib/template/index.ts'
import { TEMPLATE_ROOTS } from '#lib/template/index.ts'
import type { FlowCatalogue } from '../catalogue.ts'
import type { KnownSchemas } from '../schemas.ts'
import type { Path, FlowProblemCode, ProblemList, Severity } from '../problems.ts'
import { reportUnknown } from './source.ts'
import type { RetryPolicy } from '../elements.ts'

/** A path that a template or a condition reads, to be judged once all steps are known. */
export interface Use {
  stepId: string | null
  /** Of the text or field, in the definition. */
  path: Path
  root: TemplateRoot
  /** Below the root. */
  below: readonly (string | number)[]
  /** The path as written. */
  text: string
  /** It may be missing: a default or the operator says what holds then. */
  mayBeMissing: boolean
  /** Steps of which one at least has to have given something, as it is the end of a chain of defaults. */
  oneOf?: readonly string[]
  /** Read through the name that a loop gives to a list's items: the list is a use of its own. */
  isThroughLoop?: boolean
  place: Place
}

/** Says what a text may start from, by where it stands. */
export interface Place {
  roots: readonly TemplateRoot[]
  /** In the filter of a wait, the type of `event`; null elsewhere. */
  arriving: string | null
  /** The step's own output is there: a message is handed to the action that sends it. */
  ownOutput?: boolean
  /** At the end of the body of the loop that it stands in. */
  inBody?: boolean
}

export const STEP_PLACE: Place = {
  roots: TEMPLATE_ROOTS,
  arriving: null,
}
/** Before an execution is there. */
export const ENTRY_PLACE: Place = {
  roots: ['trigger', 'variables', 'event', 'tenant', 'now'],
  arriving: null,
}

/** Holds what every part of the compiler works on. */
export interface Compilation {
  readonly catalogue: FlowCatalogue
  readonly problems: ProblemList
  readonly conditions: CheckConditionOptions
  readonly uses: Use[]
  readonly schemas: KnownSchemas
  /** The event type of each of its ways of starting; null: it is another way. */
  readonly startTypes: (string | null)[]
  /** Texts and payloads whose types are compared with their receivers', once all steps are known. */
  readonly typeChecks: (() => void)[]
  /** Templates so far. */
  expressions: number
  /** Steps that were reported because the platform is not connected. */
  unconnected: number
  readonly defaults: { retry: RetryPolicy; timeoutMs: number }
}

/** One object of the definition that is being read: a step, a trigger, the settings. */
export interface Reader {
  readonly compilation: Compilation
  readonly stepId: string | null
  readonly members: Record<string, unknown>
  readonly path: Path
  readonly place: Place
  /** Names that were asked for; the others mean nothing. */
  readonly known: Set<string>
}

export function createReader(
  compilation: Compilation,
  members: Record<string, unknown>,
  path: Path,
  stepId: string | null,
  place: Place = STEP_PLACE,
): Reader {
  return { compilation, members, path, stepId, place, known: new Set() }
}

/** Returns the member, or undefined when it is left out or null. */
export function take(reader: Reader, name: string): unknown {
  reader.known.add(name)
  const value = Object.hasOwn(reader.members, name) ? reader.members[name] : undefined
  return value === null ? undefined : value
}

export function has(reader: Reader, name: string): boolean {
  return take(reader, name) !== undefined
}

export function at(reader: Reader, name: string): Path {
  return [...reader.path, name]
}

export function report(
  reader: Reader,
  code: FlowProblemCode,
  path: Path,
  message: string,
  severity?: Severity,
): void {
  reader.compilation.problems.report(code, path, message, reader.stepId, severity)
}

/** Reports what nobody asked for. */
export function finish(reader: Reader): void {
  const { members, path, known, stepId, compilation } = reader
  reportUnknown(members, path, [...known], compilation.problems, stepId)
}

export function readInteger(
  reader: Reader,
  name: string,
  range: { min: number; max: number; fallback: number },
): number {
  const value = take(reader, name)
  if (value === undefined) return range.fallback
  if (Number.isInteger(value) && Number(value) >= range.min && Number(value) <= range.max)
    return Number(value)
  const message = `Give "${name}" a whole number from ${range.min} to ${range.max}.`
  report(reader, 'invalid_value', at(reader, name), message)
  return range.fallback
}

export function readBoolean(reader: Reader, name: string, fallback: boolean): boolean {
  const value = take(reader, name)
  if (value === undefined) return fallback
  if (typeof value === 'boolean') return value
  report(reader, 'invalid_value', at(reader, name), `Give "${name}" true or false.`)
  return fallback
}

export function readChoice<Choice extends string>(
  reader: Reader,
  name: string,
  choices: readonly Choice[],
  fallback: Choice,
): Choice {
  const value = take(reader, name)
  if (value === undefined) return fallback
  const choice = choices.find((each) => each === value)
  if (choice === undefined) {
    report(reader, 'invalid_value', at(reader, name), `Give "${name}" one of ${choices.join(', ')}.`)
  }
  return choice ?? fallback
}
