import { toPointer } from '#lib/json/index.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { parseTree } from '#lib/template/index.ts'
import type { Parameter, Parameters } from './parameter.ts'

export type Values = Record<string, number | string>

/** Reads what was given, with defaults for the rest. @returns the values, or what is wrong with them */
export function readParameters(
  parameters: Parameters,
  given: Readonly<Record<string, unknown>>,
): { values: Values } | { errors: FieldError[] } {
  const errors: FieldError[] = []
  const values: Values = {}
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(parameters, name)) continue
    const known = Object.keys(parameters).join(', ')
    errors.push({ pointer: pointerTo(name), detail: `is not a parameter of this template: it has ${known}` })
  }
  for (const [name, parameter] of Object.entries(parameters)) {
    const value = Object.hasOwn(given, name) ? given[name] : parameter.default
    const fault = faultOf(parameter, value)
    if (fault === null) values[name] = value as number | string
    else errors.push({ pointer: pointerTo(name), detail: fault })
  }
  return errors.length > 0 ? { errors } : { values }
}

export function pointerTo(name: string): string {
  return toPointer(['parameters', name])
}

function faultOf(parameter: Parameter, value: unknown): string | null {
  switch (parameter.type) {
    case 'integer': {
      const { minimum, maximum } = parameter
      const isWithin = Number.isInteger(value) && Number(value) >= minimum && Number(value) <= maximum
      return isWithin ? null : `must be a whole number from ${minimum} to ${maximum}`
    }
    case 'choice':
      return parameter.choices.includes(value as string)
        ? null
        : `must be one of: ${parameter.choices.join(', ')}`
    case 'text':
    case 'template': {
      const isOptional = parameter.default === ''
      if (
        typeof value !== 'string' ||
        value.length > parameter.max_length ||
        (!isOptional && !value.trim())
      ) {
        return `must be text of ${isOptional ? 'at most' : '1 to'} ${parameter.max_length} characters`
      }
      return parameter.type === 'template' ? templateFault(value) : null
    }
  }
}

function templateFault(value: string): string | null {
  const [problem] = parseTree(value).problems
  return problem === undefined ? null : `is not a template that can be read: ${problem.message}`
}
