import type pg from 'pg'
import { plainArray, textArray } from '#db/array-literal.ts'
import { HISTOGRAM_CLASSES } from '#lib/histogram.ts'
import type { StatsTable } from './tables.ts'

export interface StatsRow {
  tenantId: string
  /** Its start, in epoch seconds. */
  minute: number
  keys: Readonly<Record<string, string>>
  counts: Record<string, number>
  latency: number[]
}

/** Adds rows to those that are there. */
export async function addRows(pool: pg.Pool, table: StatsTable, rows: readonly StatsRow[]): Promise<void> {
  const keys = Object.keys(table.keys)
  await pool.query({
    name: `add_${table.name}`,
    text: statementFor(table),
    values: [
      plainArray(rows.map((row) => row.tenantId)),
      plainArray(rows.map((row) => row.minute)),
      ...keys.map((key) => textArray(rows.map((row) => (row.keys[key] ?? '').replaceAll('\0', '')))),
      ...table.counts.map((count) => plainArray(rows.map((row) => row.counts[count] ?? 0))),
      textArray(rows.map((row) => plainArray(row.latency))),
    ],
  })
}

function statementFor({ name, keys, counts }: StatsTable): string {
  const columns = [...Object.keys(keys), ...counts]
  const types = [
    'uuid[]',
    'float8[]',
    ...Object.values(keys).map((type) => `${type}[]`),
    ...counts.map(() => 'int[]'),
    'text[]',
  ]
  const primary = ['tenant_id', 'span', 'bucket', ...Object.keys(keys)]
  return `
insert into ${name} as s (tenant_id, span, bucket, ${columns.join(', ')}, latency)
select tenant_id, 60, to_timestamp(minute), ${columns.join(', ')}, latency::int[]
from unnest(${types.map((type, index) => `$${index + 1}::${type}`).join(', ')})
  as r (tenant_id, minute, ${columns.join(', ')}, latency)
order by tenant_id, minute, ${Object.keys(keys).join(', ')}
on conflict (${primary.join(', ')}) do update
set ${counts.map((count) => `${count} = s.${count} + excluded.${count}`).join(', ')},
  latency = array[${Array.from({ length: HISTOGRAM_CLASSES }, (_, index) => `s.latency[${index + 1}] + excluded.latency[${index + 1}]`).join(', ')}]`
}
