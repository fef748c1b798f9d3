import type { FieldError } from '#lib/api/problem.ts'
import { toPointer } from '#lib/json/index.ts'
import { parseTree } from '#lib/template/index.ts'
import { holdsTemplate } from '#lib/template-text.ts'
import { LINE_MAX_CHARS, type Parameter, TEXT_MAX_CHARS } from './parameter.ts'
import { isVariable, valueAt } from './places.ts'
import { pointerTo, type Values } from './read-parameters.ts'
import type { ParameterMark } from './schemas.ts'

/** A value that is asked for at install, and where in the definition it goes. */
export type OwnParameter = Parameter & { name: string; places: string[] }

type Definition = Record<string, unknown>

/**
 * Reads what an author has marked: the values that stand there are the defaults.
 * @param secret places whose values are not kept: they are asked for
 */
export function readMarks(
  definition: Definition,
  marks: readonly ParameterMark[],
  secret: ReadonlySet<string>,
): { parameters: OwnParameter[] } | { errors: FieldError[] } {
  const errors: FieldError[] = []
  const names = new Set<string>()
  const taken = new Set<string>()
  const parameters = marks.flatMap((mark, index) => {
    const at = (member: string): string => toPointer(['parameters', index, member])
    const refuse = (member: string, detail: string): [] => {
      errors.push({ pointer: at(member), detail })
      return []
    }
    if (names.has(mark.name)) return refuse('name', `"${mark.name}" is the name of another parameter`)
    names.add(mark.name)
    const twice = mark.places.find((place) => taken.has(place))
    for (const place of mark.places) taken.add(place)
    if (twice !== undefined) return refuse('places', `${twice} is asked for more than once`)
    const found = mark.places.map((place) => (isOfFlow(place) ? valueAt(definition, place) : undefined))
    const missing = found.findIndex((value) => !isAskable(mark, value))
    if (missing !== -1) return refuse('places', placeFault(mark, mark.places[missing] ?? ''))
    if (new Set(found).size > 1) return refuse('places', 'must all hold the same value')
    const isSecret = mark.places.some((place) => secret.has(place))
    const fallback = isSecret ? '' : (found[0] as string | number)
    const fault = defaultFault(mark, fallback)
    if (fault !== null) return refuse(...fault)
    return [parameterOf(mark, fallback)]
  })
  return errors.length > 0 ? { errors } : { parameters }
}

/** Lists what is refused although each value is fine by itself: text that would be read as a template. */
export function plainTextFaults(parameters: readonly OwnParameter[], values: Values): FieldError[] {
  return parameters
    .filter(({ type, places }) => type === 'text' && !places.every(isVariable))
    .filter(({ name }) => holdsTemplate(values[name]))
    .map(({ name }) => ({
      pointer: pointerTo(name),
      detail: 'must have no {{ and no {%: it stands where they are filled in',
    }))
}

/** Returns whether a place is of the flow itself: whoever installs it gives name, description and status. */
function isOfFlow(place: string): boolean {
  return !['/name', '/description', '/status'].includes(place)
}

function isAskable({ type }: ParameterMark, value: unknown): boolean {
  return type === 'integer' ? Number.isSafeInteger(value) : typeof value === 'string'
}

function placeFault({ type }: ParameterMark, place: string): string {
  const wanted = type === 'integer' ? 'a whole number' : 'text'
  return `must name places of the flow that hold ${wanted}, as JSON pointers into its definition: ${place.slice(0, 200)} does not`
}

type Fault = [member: string, detail: string]

function defaultFault(mark: ParameterMark, value: string | number): Fault | null {
  const { type, places } = mark
  if (type === 'integer') {
    const { minimum, maximum } = rangeOf(mark)
    const isWithin = Number(value) >= minimum && Number(value) <= maximum
    return isWithin ? null : ['minimum', `the flow has ${value}, which must lie from minimum to maximum`]
  }
  const text = String(value)
  if (type === 'choice') {
    const { choices = [] } = mark
    if (choices.length === 0) return ['choices', 'must list what may be chosen']
    return choices.includes(text) ? null : ['choices', `must have what the flow has: "${text.slice(0, 200)}"`]
  }
  if (text.length > maxLengthOf(mark)) return ['max_length', `the flow has ${text.length} characters there`]
  if (type === 'text') {
    const isRead = holdsTemplate(text) && !places.every(isVariable)
    return isRead ? ['type', 'must be `template`: the flow has a template there'] : null
  }
  const [problem] = parseTree(text).problems
  return problem === undefined
    ? null
    : ['type', `the flow has a template there that cannot be read: ${problem.message}`]
}

function parameterOf(mark: ParameterMark, fallback: string | number): OwnParameter {
  const { name, description, places, choices = [] } = mark
  const title = mark.title ?? name
  switch (mark.type) {
    case 'integer':
      return {
        name,
        title,
        description,
        type: 'integer',
        default: Number(fallback),
        ...rangeOf(mark),
        places,
      }
    case 'choice':
      return { name, title, description, type: 'choice', default: String(fallback), choices, places }
    case 'text':
    case 'template': {
      const max_length = maxLengthOf(mark)
      return { name, title, description, type: mark.type, default: String(fallback), max_length, places }
    }
  }
}

function rangeOf({ minimum, maximum }: ParameterMark): { minimum: number; maximum: number } {
  return { minimum: minimum ?? 0, maximum: maximum ?? Number.MAX_SAFE_INTEGER }
}

function maxLengthOf({ type, max_length }: ParameterMark): number {
  return max_length ?? (type === 'template' ? TEXT_MAX_CHARS : LINE_MAX_CHARS)
}
