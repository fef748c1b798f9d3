/** The parts of an OpenAPI document that tests read. */
export interface OpenApiDocument {
  paths: Record<string, Partial<Record<Method, Operation>>>
  components: { schemas: Record<string, Schema> }
  tags: { name: string }[]
}

const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const
export type Method = (typeof METHODS)[number]

export type Schema = Record<string, unknown> & { $ref?: string }
type Content = Record<
  string,
  { schema?: Schema; example?: unknown; examples?: Record<string, { value: unknown }> }
>

export interface Operation {
  operationId?: string
  summary?: string
  description?: string
  tags?: string[]
  security?: unknown[]
  parameters?: { in: string; name: string; required?: boolean; schema: Schema }[]
  requestBody?: { required: boolean; content: Content }
  responses: Record<string, { description: string; headers?: Record<string, object>; content?: Content }>
}

export interface NamedOperation {
  /** `POST /api/keys/{id}` */
  name: string
  method: Method
  path: string
  operation: Operation
  pathParameters: string[]
}

export function operationsOf(document: OpenApiDocument): NamedOperation[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method]
      if (operation === undefined) return []
      const pathParameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => String(name))
      return [{ name: `${method.toUpperCase()} ${path}`, method, path, operation, pathParameters }]
    }),
  )
}

/** The query by which an answer that may last for minutes ends at once; empty for all others. */
export function briefQuery({ operation }: NamedOperation): string {
  return operation.parameters?.some(({ name }) => name === 'seconds') === true ? '?seconds=0' : ''
}

/** A valid body for the operation, as JSON text; undefined if it takes none. */
export function sampleBody(document: OpenApiDocument, { operation }: NamedOperation): string | undefined {
  const content = operation.requestBody?.content['application/json']
  if (content === undefined) return undefined
  const [example = sampleOf(document, content.schema ?? {})] = examplesOf(content)
  return JSON.stringify(example)
}

/** The examples of a body in one media type. */
export function examplesOf({ example, examples = {} }: Content[string]): unknown[] {
  return example === undefined ? Object.values(examples).map(({ value }) => value) : [example]
}

/** An instance of a schema: its example if it has one, else the smallest that the rules here can make. */
export function sampleOf(document: OpenApiDocument, schema: Schema): unknown {
  const [example] = [schema['examples'], schema['example'] === undefined ? [] : [schema['example']]]
    .filter(Array.isArray)
    .flat() as unknown[]
  if (example !== undefined) return example
  for (const fixed of ['default', 'const']) if (schema[fixed] !== undefined) return schema[fixed]
  if (Array.isArray(schema['enum'])) return schema['enum'][0]
  if (schema.$ref !== undefined) return sampleOf(document, resolveRef(document, schema.$ref))
  const [alternative] = (schema['anyOf'] ?? schema['oneOf'] ?? schema['allOf'] ?? []) as Schema[]
  if (alternative !== undefined) return sampleOf(document, alternative)
  return sampleOfType(document, schema)
}

function sampleOfType(document: OpenApiDocument, schema: Schema): unknown {
  switch ([schema['type']].flat()[0]) {
    case 'object': {
      const properties = (schema['properties'] ?? {}) as Record<string, Schema>
      const required = (schema['required'] ?? []) as string[]
      const names = schema['minProperties'] === undefined ? required : Object.keys(properties).slice(0, 1)
      return Object.fromEntries(names.map((name) => [name, sampleOf(document, properties[name] ?? {})]))
    }
    case 'array': {
      const length = (schema['minItems'] ?? 0) as number
      return Array.from({ length }, () => sampleOf(document, (schema['items'] ?? {}) as Schema))
    }
    case 'string':
      return sampleText(schema)
    case 'integer':
    case 'number':
      return schema['minimum'] ?? 0
    case 'boolean':
      return false
    case 'null':
      return null
    default:
      return {}
  }
}

const SAMPLE_TEXTS: Record<string, string> = {
  'date-time': '2026-01-01T00:00:00Z',
  uuid: '00000000-0000-7000-8000-000000000000',
  uri: 'https://plugin.example/hook',
}

function sampleText(schema: Schema): string {
  return SAMPLE_TEXTS[String(schema['format'])] ?? 'x'.repeat(Math.max(1, Number(schema['minLength'] ?? 1)))
}

function resolveRef(document: OpenApiDocument, ref: string): Schema {
  const schema = document.components.schemas[ref.replace('#/components/schemas/', '')]
  if (schema === undefined) throw new Error(`${ref} leads nowhere`)
  return schema
}
