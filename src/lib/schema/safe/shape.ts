export const SCHEMA_TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const
export type SchemaType = (typeof SCHEMA_TYPES)[number]

export const SCHEMA_FORMATS = ['date-time', 'email', 'uri'] as const
export type SchemaFormat = (typeof SCHEMA_FORMATS)[number]

/** The subset of JSON Schema that foreign schemas may use: nothing in it can cost more than reading the value. */
export interface SafeSchema {
  type?: SchemaType | SchemaType[]
  properties?: Record<string, SafeSchema>
  required?: string[]
  /** true, as in JSON Schema, unless it says false. */
  additionalProperties?: boolean
  items?: SafeSchema
  enum?: (string | number | boolean | null)[]
  minimum?: number
  maximum?: number
  /** In characters (code points). */
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  format?: SchemaFormat
  title?: string
  description?: string
  examples?: unknown[]
  default?: unknown
}

export function isSchemaType(value: unknown): value is SchemaType {
  return SCHEMA_TYPES.includes(value as SchemaType)
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
