import { type RawBuilder, sql } from 'kysely'
import type { Path } from '#lib/json/path.ts'
import type { ErasureValue } from './value.ts'

/** The value that an erasure looks for. */
export interface Wanted {
  path: Path
  value: ErasureValue
}

/** Numbers that Postgres can compare without a mountain of digits. */
const COMPARABLE = '^-?[0-9.]{1,255}([eE][+-]?[0-9]{1,3})?$'

/** Tests whether a JSON column has exactly the value at the path, below one of the prefixes. False for null. */
export function hasValue(
  column: string,
  { path, value }: Wanted,
  prefixes: readonly Path[] = [[]],
): RawBuilder<boolean> {
  const tests = prefixes.map((prefix) => isAt(column, [...prefix, ...path].map(String), value))
  return sql<boolean>`(${sql.join(tests, sql` or `)})`
}

function isAt(column: string, path: string[], value: ErasureValue): RawBuilder<boolean> {
  const found = sql`(${sql.ref(column)}::json #> ${path}::text[])`
  if (typeof value !== 'number') return sql`coalesce(${found}::text = ${JSON.stringify(value)}, false)`
  return sql`case when json_typeof(${found}) = 'number' and ${found}::text ~ ${COMPARABLE}
    then ${found}::text::numeric = ${String(value)}::numeric else false end`
}
