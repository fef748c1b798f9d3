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
      Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }), {
        description: 'One entry for each field, by JSON pointer',
      }),
    ),
    request_id: Type.String(),
  },
  { $id: 'Problem', additionalProperties: true, description: 'RFC 9457 problem details' },
)

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
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'Rows a page' }),
  cursor: Type.Optional(Type.String({ maxLength: 512, description: '`next_cursor` of the page before' })),
}

export function Page<T extends TSchema>(item: T, $id: string) {
  return Type.Object(
    { data: Type.Array(item), next_cursor: Nullable(Type.String({ description: 'Null on the last page' })) },
    { $id },
  )
}
