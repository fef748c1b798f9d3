import { type Static, type TSchema, type TUnsafe, Type } from '@sinclair/typebox'
import type { ProblemDefinition } from './problem.ts'

/** Refers to a schema by its `$id`, so that the OpenAPI document has it as a named component. */
export function ref<T extends TSchema>(schema: T): TUnsafe<Static<T>> {
  if (schema.$id === undefined) throw new Error('ref() needs a schema with an $id')
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#` })
}

export function Nullable<T extends TSchema>(schema: T): TUnsafe<Static<T> | null> {
  return Type.Unsafe<Static<T> | null>(
    typeof schema['type'] === 'string' && schema['enum'] === undefined
      ? { ...schema, type: [schema['type'], 'null'] }
      : { anyOf: [schema, { type: 'null' }] },
  )
}

export function StringEnum<const T extends readonly string[]>(
  values: T,
  options: Record<string, unknown> = {},
): TUnsafe<T[number]> {
  return Type.Unsafe<T[number]>({ type: 'string', enum: values, ...options })
}

/**
 * Returns the schema of a member that requests may leave out, as its `default` then stands for it: optional in the
 * document, always there for the handler, since validation fills it in.
 */
export function Defaulted<T extends TSchema>(schema: T): T {
  if (schema['default'] === undefined) throw new Error('Defaulted() needs a schema with a default')
  return Type.Optional(schema) as unknown as T
}

/** A point in time as the API gives it: a Date of the driver or an ISO 8601 text. */
export const Timestamp = Type.Unsafe<Date | string>({ type: 'string', format: 'date-time' })

export const Problem = Type.Object(
  {
    type: Type.String({ description: 'Where this problem is documented' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What was wrong and how to mend it' }),
    code: Type.String({ description: 'The contract: branch on this' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          pointer: Type.String(),
          detail: Type.String(),
          reason: Type.Optional(
            Type.String({ description: 'Of an address that is refused: why, as a code' }),
          ),
        }),
        {
          description: 'One entry for each field, by JSON pointer',
        },
      ),
    ),
    request_id: Type.String(),
  },
  { $id: 'Problem', additionalProperties: true, description: 'RFC 9457 problem details' },
)

/** The headers of answers that callers may rely on, for the document; `withHeaders` names them at a route. */
export const ANSWER_HEADERS = {
  'cache-control': {
    description: 'How long the answer may be kept, and by whom',
    schema: { type: 'string' },
  },
  'content-disposition': {
    description: 'Under which name a browser stores it',
    schema: { type: 'string' },
  },
  'content-security-policy': {
    description: 'A browser that shows the answer runs nothing of it',
    schema: { type: 'string' },
  },
  etag: {
    description: 'Stands for this state of it: for If-Match, or If-None-Match of lists',
    schema: { type: 'string' },
  },
  location: { description: 'Where it is from now on: a path of this service', schema: { type: 'string' } },
  'retry-after': {
    description: 'Seconds to wait before the same request is sent again',
    schema: { type: 'string', pattern: '^\\d+$' },
  },
  'set-cookie': {
    description: "The session's cookie: HttpOnly, SameSite=Strict, for this host alone; or its end",
    schema: { type: 'string' },
  },
  vary: {
    description: 'accept: the form of the answer depends on it',
    schema: { type: 'string', enum: ['accept'] },
  },
  'www-authenticate': { description: 'Bearer, with what was wrong with the key', schema: { type: 'string' } },
  'x-accel-buffering': {
    description: 'no: proxies hand the events on as they come',
    schema: { type: 'string', enum: ['no'] },
  },
} as const

/** Returns the schema of an answer that comes with these headers. */
export function withHeaders<T extends TSchema>(schema: T, ...names: (keyof typeof ANSWER_HEADERS)[]): T {
  return { ...schema, headers: Object.fromEntries(names.map((name) => [name, ANSWER_HEADERS[name]])) }
}

/** The `response` entries of a route for the problems it can answer, grouped by status. */
export function problems(...definitions: ProblemDefinition[]): Record<number, TSchema> {
  const byStatus = Map.groupBy(definitions, (definition) => definition.status)
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        description: group.map(({ code, title }) => `\`${code}\`: ${title}`).join('\n\n'),
        content: { 'application/problem+json': { schema: ref(Problem) } },
      } as unknown as TSchema,
    ]),
  )
}

/** Query of a list: `?limit=50&cursor=…`. */
export const PageQuery = {
  limit: Defaulted(Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'Rows a page' })),
  cursor: Type.Optional(Type.String({ maxLength: 512, description: '`next_cursor` of the page before' })),
}

export function Page<T extends TSchema>(item: T, $id: string) {
  return Type.Object(
    { data: Type.Array(item), next_cursor: Nullable(Type.String({ description: 'Null on the last page' })) },
    { $id },
  )
}
