/**
 * A fixed safe subset of JSON Schema with its own interpreter: schemas come from plugin authors, and compiling
 * foreign schemas (`pattern`, `$ref`, `allOf` …) can be stalled for seconds. `normaliseSchema` writes shorthand out,
 * `checkSchema` says what is outside of the subset, `validate` applies a checked schema in linear time.
 */
export { checkSchema, isLargerThan, MAX_SCHEMA_BYTES } from './check.ts'
export { normaliseSchema } from './normalise.ts'
export type { SafeSchema, SchemaType } from './shape.ts'
export { validate } from './validate.ts'
export type { SchemaViolation } from './validate.ts'
