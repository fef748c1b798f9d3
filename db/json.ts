import { parseStoredJson } from '#lib/json/index.ts'

/**
 * The border that JSON crosses between the database and the service: no number changes on the way.
 *
 * - A `json` column holds what callers sent and what was made of it: events' data, triggers, states, inputs, outputs,
 *   filters of waits, payloads, results, samples. It is kept as text, so that order of members and spelling of numbers
 *   (`1.10`, `-0`, `1e400`) come back as they were written.
 * - A `jsonb` column holds the service's own documents, which are searched inside Postgres or compared by value.
 *   Their numbers come back exact; their spelling is not kept.
 *
 * A number that a JavaScript number does not carry is a RawNumber of src/lib/json/raw-number.ts.
 */

/** Reads the text of a `json` column, or of an event's body. */
export function readJson(text: string): unknown {
  return parseStoredJson(text, 'text')
}

/** Reads the text of a `jsonb` column. */
export function readJsonb(text: string): unknown {
  return parseStoredJson(text, 'value')
}

/** Returns the text for a column of either kind: a value from `readJson` is written as it was read. */
export function writeJson(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined
  if (text === undefined) throw new TypeError('the value has no form in JSON')
  return text
}

/** Measures a `json` column in SQL: of what is stored compressed the size that it has in memory; else no byte of it is read. */
export function bytesOf(column: string): string {
  return `case when pg_column_compression(${column}) is null then pg_column_size(${column}) else octet_length(${column}::text) end`
}
