import type { SchemaType } from '#lib/schema/safe/index.ts'
import type { FilterType } from '#lib/template/filters/filter.ts'
import type { Expression, Operand } from '#lib/template/index.ts'
import { valueTypeOf } from '#lib/json/value-type.ts'
import type { FlowProblemCode, Path } from '../problems.ts'
import type { Reader } from './reader.ts'
import { report } from './reader.ts'
import { typesOfPath } from '../schemas.ts'

type Types = ReadonlySet<SchemaType> | null

/** The types of a time: text, or seconds or milliseconds since 1970. */
export const TIME_TYPES: readonly SchemaType[] = ['string', 'number', 'integer']
const FILTER_TYPES: Readonly<Record<FilterType | 'boolean', readonly SchemaType[] | null>> = {
  any: null,
  text: ['string'],
  scalar: ['string', 'number', 'integer', 'boolean'],
  number: ['number', 'integer', 'string'],
  time: TIME_TYPES,
  list: ['array'],
  object: ['object'],
  boolean: ['boolean'],
}
const VALUE_TYPES: Readonly<Record<string, readonly SchemaType[]>> = {
  text: ['string'],
  number: ['number', 'integer'],
  boolean: ['boolean'],
  list: ['array'],
  object: ['object'],
}

/** Infers the types of an expression's result from declarations; null when they say nothing. */
export function typesOfExpression(reader: Reader, expression: Expression): Types {
  return infer(reader, expression, () => undefined)
}

/** Reports filters that get what they cannot take. */
export function checkExpression(reader: Reader, expression: Expression, path: Path): void {
  infer(reader, expression, (code, message) => {
    report(reader, code, path, message)
  })
}

function infer(
  reader: Reader,
  expression: Expression,
  complain: (code: FlowProblemCode, message: string) => void,
): Types {
  const shown = `{{${expression.source.slice(0, 80)}}}`
  let types: Types = typesOfOperand(reader, expression.operand)
  if (expression.shiftMs !== null) {
    if (types && !TIME_TYPES.some((type) => types?.has(type))) {
      const message = `${shown} adds a duration to what is declared as ${[...types].join(' or ')}, not as a time.`
      complain('wrong_type', message)
    }
    types = new Set(['string'])
  }
  for (const { filter, args } of expression.filters) {
    const accepted = filter.input.map((each) => FILTER_TYPES[each])
    if (types && accepted.every((each) => each !== null && !each.some((type) => types?.has(type)))) {
      const message = `"${filter.name}" takes ${filter.input.join(' or ')}, and gets what is declared as ${[...types].join(' or ')}.`
      complain('invalid_filter_input', message)
    }
    if (filter.returns !== 'same') {
      const made =
        filter.name === 'size' || filter.returns === 'number'
          ? (['number', 'integer'] as const)
          : FILTER_TYPES[filter.returns]
      types = made ? new Set(made) : null
    } else {
      const fallback = args[0] ? typesOfOperand(reader, args[0]) : null
      types = types && fallback ? new Set([...types, ...fallback].filter((type) => type !== 'null')) : null
    }
  }
  return types
}

function typesOfOperand(reader: Reader, operand: Operand): Types {
  const { schemas, catalogue } = reader.compilation
  if (operand.kind !== 'literal') {
    const path = operand.kind === 'local' ? operand.stands : operand
    return path && typesOfPath(schemas, catalogue, path.root, path.path, reader.place.arriving)
  }
  const types = VALUE_TYPES[valueTypeOf(operand.value)]
  return types ? new Set(types) : null
}
