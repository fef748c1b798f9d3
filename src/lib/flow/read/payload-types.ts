import type { SafeSchema, SchemaType } from '#lib/schema/safe/index.ts'
import { validate } from '#lib/schema/safe/index.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { typesOfExpression } from './expression-types.ts'
import { splitPointer } from '../pointer.ts'
import type { Path, Severity } from '../problems.ts'
import type { Reader } from './reader.ts'
import { report } from './reader.ts'
import { exactText } from './template.ts'
import { typesOf } from '../schemas.ts'
import { holdsTemplate } from '#lib/template-text.ts'

/** The strictness with which a payload is judged: a hint warns where a schema that holds reports an error. */
export type Strictness = 'holds' | 'hint'

/** Compares a payload with the schema of its receiver; results of templates are judged by their declared types. */
export function checkPayload(
  reader: Reader,
  schema: SafeSchema,
  value: unknown,
  path: Path,
  strictness: Strictness = 'holds',
): void {
  if (reader.compilation.problems.isFull) return
  const severity = severityOf(strictness)
  if (holdsTemplate(value)) {
    checkTemplate(reader, schema, value, path, severity)
  } else if (isPlainObject(value) && (typesOf(schema)?.has('object') ?? true)) {
    checkMembers(reader, schema, value, path, strictness)
  } else if (Array.isArray(value) && (typesOf(schema)?.has('array') ?? true)) {
    const { items: itemSchema, ...own } = schema
    reportViolations(reader, own, value, path, severity)
    if (!itemSchema) return
    for (const [index, item] of value.entries())
      checkPayload(reader, itemSchema, item, [...path, index], strictness)
  } else reportViolations(reader, schema, value, path, severity)
}

/** Undefined: as the problem's code says. */
function severityOf(strictness: Strictness): Severity | undefined {
  return strictness === 'hint' ? 'warning' : undefined
}

function checkMembers(
  reader: Reader,
  schema: SafeSchema,
  members: Record<string, unknown>,
  path: Path,
  strictness: Strictness,
): void {
  const severity = severityOf(strictness)
  for (const name of schema.required ?? []) {
    if (Object.hasOwn(members, name)) continue
    const needs = strictness === 'hint' ? 'the action usually has it' : 'the action needs it'
    report(reader, 'missing_field', path, `Add "${name}": ${needs}.`, severity)
  }
  for (const [name, member] of Object.entries(members)) {
    const property =
      schema.properties && Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined
    if (property) checkPayload(reader, property, member, [...path, name], strictness)
    else if (schema.properties || schema.additionalProperties === false) {
      const isClosed = schema.additionalProperties === false
      const names = Object.keys(schema.properties ?? {}).slice(0, 30)
      const message = `The action has no field "${name.slice(0, 64)}": it takes ${names.join(', ') || 'none'}.`
      report(reader, 'unknown_field', [...path, name], message, severity ?? (isClosed ? 'error' : 'warning'))
    }
  }
}

function checkTemplate(
  reader: Reader,
  schema: SafeSchema,
  text: string,
  path: Path,
  severity: Severity | undefined,
): void {
  const exact = exactText(text)
  const types = exact ? typesOfExpression(reader, exact) : new Set<SchemaType>(['string'])
  const wanted = typesOf(schema)
  if (!types || !wanted || [...types].some((type) => isAccepted(type, wanted))) return
  const made = exact
    ? `{{${exact.source.slice(0, 80)}}} is ${[...types].join(' or ')}`
    : 'text with a template in it is string'
  report(reader, 'wrong_type', path, `Give ${[...wanted].join(' or ')} here: ${made}.`, severity)
}

/** A number may well be whole. */
function isAccepted(type: SchemaType, wanted: ReadonlySet<SchemaType>): boolean {
  return (
    wanted.has(type) ||
    (type === 'integer' && wanted.has('number')) ||
    (type === 'number' && wanted.has('integer'))
  )
}

function reportViolations(
  reader: Reader,
  schema: SafeSchema,
  value: unknown,
  path: Path,
  severity: Severity | undefined,
): void {
  for (const { pointer, detail } of validate(schema, value)) {
    report(reader, 'wrong_type', [...path, ...splitPointer(pointer)], detail, severity)
  }
}
