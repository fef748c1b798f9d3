import { endpointFault, resolveEndpoint } from '#lib/endpoint.ts'
import { isRawNumber } from '#lib/json/index.ts'
import type { FieldError } from '#lib/api/problem.ts'
import {
  checkSchema,
  isLargerThan,
  MAX_SCHEMA_BYTES,
  normaliseSchema,
  type SafeSchema,
} from '#lib/schema/safe/index.ts'
import type { ActionOrigin, StoredAction } from './action.ts'
import { platformAction } from './platform-actions.ts'
import type { ActionDeclaration } from './schemas.ts'

export interface ReadActions {
  actions: StoredAction[]
  errors: FieldError[]
}

/** Of one plugin, as JSON: every replica keeps it in memory. */
const MAX_ACTIONS_BYTES = 256 * 1024
/** The most errors that are reported, whatever the author sends. */
const MAX_ERRORS = 20

/**
 * Checks a plugin's declarations of actions as a whole, and writes them out. Errors point to `<at>/<index>/<field>`.
 *
 * @param nameField the caller's name for the action type
 */
export function readActions(
  declarations: readonly ActionDeclaration[],
  from: { origin: ActionOrigin; baseUrl: string; at: string; nameField: string },
): ReadActions {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  const actions = declarations.map((declaration, index) => {
    const report: Report = (pointer, detail) => {
      if (errors.length < MAX_ERRORS) errors.push({ pointer: `${from.at}/${index}${pointer}`, detail })
    }
    const name = declaration.action_type
    if (platformAction(name) !== undefined) {
      report(`/${from.nameField}`, `"${name}" is an action of the platform: choose another name`)
    }
    if (seen.has(name)) report(`/${from.nameField}`, `"${name}" is there twice`)
    seen.add(name)
    return readAction(declaration, from, report)
  })
  if (errors.length === 0 && Buffer.byteLength(JSON.stringify(actions)) > MAX_ACTIONS_BYTES) {
    errors.push({ pointer: from.at, detail: `take more than ${MAX_ACTIONS_BYTES / 1024} KiB of JSON` })
  }
  return { actions, errors }
}

/** `pointer` is below what is read. */
export type Report = (pointer: string, detail: string) => void

function readAction(
  declaration: ActionDeclaration,
  { origin, baseUrl }: { origin: ActionOrigin; baseUrl: string },
  report: Report,
): StoredAction {
  const input = readInput(declaration, report)
  const endpoint = declaration.endpoint ?? null
  if (endpoint !== null) {
    const fault = endpointFault(endpoint)
    if (fault !== null) report('/endpoint', fault)
    else if (resolveEndpoint(baseUrl, endpoint) === null)
      report('/endpoint', 'must stay as written below base_url')
  }
  return {
    action_type: declaration.action_type,
    title: declaration.title,
    description: declaration.description ?? '',
    category: declaration.category ?? 'other',
    ...input,
    output_schema: readSchema('output_schema', declaration.output_schema, report),
    endpoint,
    method: declaration.method ?? 'POST',
    timeout_ms: declaration.timeout_ms ?? null,
    idempotent: declaration.idempotent ?? false,
    origin,
  }
}

/** Describes the payload, from the lists of fields and the schema. */
function readInput(
  declaration: ActionDeclaration,
  report: Report,
): Pick<StoredAction, 'input_schema' | 'required_fields' | 'optional_fields'> {
  const given = readSchema('input_schema', declaration.input_schema, report)
  if (given?.type !== undefined && given.type !== 'object') {
    report('/input_schema/type', 'must be "object": a payload is one')
  }
  const named = declaration.required_fields ?? []
  const required = [...new Set([...(given?.required ?? []), ...named])]
  const optional = new Set([...Object.keys(given?.properties ?? {}), ...(declaration.optional_fields ?? [])])
  for (const field of required) optional.delete(field)
  if (given?.additionalProperties === false) {
    for (const [index, field] of named.entries()) {
      if (Object.hasOwn(given.properties ?? {}, field)) continue
      report(`/required_fields/${index}`, `"${field}" is no property of input_schema, which takes no others`)
    }
  }
  if (given === null && required.length + optional.size === 0) {
    return { input_schema: null, required_fields: [], optional_fields: [] }
  }
  const schema: SafeSchema = given ?? {
    properties: Object.fromEntries([...required, ...optional].map((field) => [field, {}])),
  }
  return {
    input_schema: { ...schema, type: 'object', ...(required.length > 0 && { required }) },
    required_fields: required,
    optional_fields: [...optional],
  }
}

/**
 * Reads a schema; null if there is none, or none that can be used. One that could not become small enough is not even
 * written out.
 */
export function readSchema(field: string, given: unknown, report: Report): SafeSchema | null {
  if (given === undefined || given === null) return null
  if (isLargerThan(given, 2 * MAX_SCHEMA_BYTES)) {
    report(`/${field}`, `Shorten the schema to ${MAX_SCHEMA_BYTES} bytes of JSON.`)
    return null
  }
  const schema = normaliseSchema(given)
  const problems = checkSchema(schema)
  if (problems.length === 0 && hasRawNumber(schema)) {
    problems.push({
      pointer: '',
      detail: 'Has a number that not every JSON reader keeps exactly: write it as text.',
    })
  }
  for (const { pointer, detail } of problems) report(`/${field}${pointer}`, detail)
  return problems.length === 0 ? (schema as SafeSchema) : null
}

/** Such a number would come back from the database as another one. */
function hasRawNumber(value: unknown): boolean {
  if (isRawNumber(value)) return true
  return typeof value === 'object' && value !== null && Object.values(value).some(hasRawNumber)
}
