import type { SubjectType } from '#lib/condition/operators/index.ts'
import { findOperator } from '#lib/condition/operators/index.ts'
import { parsePath } from '#lib/json/path.ts'
import type { SafeSchema, SchemaType } from '#lib/schema/safe/index.ts'
import { valueTypeOf } from '#lib/json/value-type.ts'
import type { Path } from '../problems.ts'
import type { Reader } from './reader.ts'
import { report } from './reader.ts'
import { schemasOfPath, typesOfPath } from '../schemas.ts'
import { holdsTemplate } from '#lib/template-text.ts'

const SUBJECT_TYPES: Readonly<Record<SubjectType, readonly SchemaType[]>> = {
  text: ['string'],
  time: ['string', 'number', 'integer'],
  number: ['number', 'integer'],
  boolean: ['boolean'],
  list: ['array'],
  object: ['object'],
}

const LITERAL_TYPES: Readonly<Record<string, readonly SchemaType[]>> = {
  text: ['string'],
  number: ['number', 'integer'],
  boolean: ['boolean'],
  null: ['null'],
}

const SCALAR_TYPES: readonly SchemaType[] = ['string', 'number', 'integer', 'boolean']

/** Compares a test with the declared type of its field, once all steps are known. */
export function checkOperatorFits(
  reader: Reader,
  field: string,
  test: Record<string, unknown>,
  path: Path,
): void {
  const { compilation, place } = reader
  compilation.typeChecks.push(() => {
    const [name, ...below] = parsePath(field) ?? []
    const operator = findOperator(test['operator'])
    const root = String(name)
    const types = typesOfPath(compilation.schemas, compilation.catalogue, root, below, place.arriving)
    if (!operator || !types) return
    if (
      operator.subjects !== 'any' &&
      !operator.subjects.some((subject) => isOneOf(types, SUBJECT_TYPES[subject]))
    ) {
      const wanted = operator.subjects.join(' or ')
      const message = `"${operator.name}" needs ${wanted}, and ${field} is declared as ${[...types].join(' or ')}.`
      report(reader, 'operator_does_not_fit', [...path, 'operator'], message)
      return
    }
    const schemas = schemasOfPath(compilation.schemas, compilation.catalogue, root, below, place.arriving)
    checkEquality(reader, field, test, path, { types, schemas })
  })
}

interface Declared {
  types: ReadonlySet<SchemaType>
  schemas: readonly (SafeSchema | null)[]
}

function checkEquality(
  reader: Reader,
  field: string,
  test: Record<string, unknown>,
  path: Path,
  { types, schemas }: Declared,
): void {
  const { operator, value } = test
  if (operator !== 'equals' && operator !== 'not_equals' && operator !== 'changed_to') return
  if (holdsTemplate(value)) return
  const result = operator === 'not_equals' ? 'always_true' : 'always_false'
  const outcome = operator === 'not_equals' ? 'true' : 'false'
  const literal = LITERAL_TYPES[valueTypeOf(value)]
  // A wait compares scalars as text: "42" may be meant for a number.
  const isComparable = reader.place.arriving !== null && isOneOf(types, SCALAR_TYPES)
  if (literal && value !== null && !isComparable && !isOneOf(types, literal)) {
    const declared = [...types].join(' or ')
    const message = `Always ${outcome}: ${field} is declared as ${declared}, and ${valueTypeOf(value)} is compared with it.`
    report(reader, result, [...path, 'value'], message)
    return
  }
  const allowed = schemas.flatMap((schema) => schema?.enum ?? [null])
  if (
    allowed.length > 0 &&
    !allowed.includes(null) &&
    literal &&
    !allowed.map(String).includes(String(value))
  ) {
    const shown = allowed.slice(0, 10).join(', ')
    report(reader, result, [...path, 'value'], `Always ${outcome}: ${field} is one of ${shown}.`)
  }
}

function isOneOf(types: ReadonlySet<SchemaType>, wanted: readonly SchemaType[]): boolean {
  return wanted.some((type) => types.has(type))
}
