import type pg from 'pg'
import { plainArray, textArray } from '#db/array-literal.ts'
import { HISTOGRAM_CLASSES } from '#lib/histogram.ts'
import { histogramsOf, type StatsTable } from './tables.ts'

export interface StatsRow {
  tenantId: string
  /** Its start, in epoch seconds. */
  minute: number
  keys: Readonly<Record<string, string>>
  counts: Record<string, number>
  latency: number[]
  /** Left out where the table keeps none. */
  queueAge?: number[]
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
      ...histogramsOf(table).map((name) =>
        textArray(rows.map((row) => plainArray((name === 'latency' ? row.latency : row.queueAge) ?? []))),
      ),
    ],
  })
}

function statementFor(table: StatsTable): string {
  const { name, keys, counts } = table
  const histograms = histogramsOf(table)
  const columns = [...Object.keys(keys), ...counts]
  const types = [
    'uuid[]',
    'float8[]',
    ...Object.values(keys).map((type) => `${type}[]`),
    ...counts.map(() => 'int[]'),
    ...histograms.map(() => 'text[]'),
  ]
  const primary = ['tenant_id', 'span', 'bucket', ...Object.keys(keys)]
  return `
insert into ${name} as s (tenant_id, span, bucket, ${[...columns, ...histograms].join(', ')})
select tenant_id, 60, to_timestamp(minute), ${columns.join(', ')}, ${histograms.map((each) => `${each}::int[]`).join(', ')}
from unnest(${types.map((type, index) => `$${index + 1}::${type}`).join(', ')})
  as r (tenant_id, minute, ${[...columns, ...histograms].join(', ')})
order by tenant_id, minute, ${Object.keys(keys).join(', ')}
on conflict (${primary.join(', ')}) do update
set ${[...counts.map((count) => `${count} = s.${count} + excluded.${count}`), ...histograms.map((each) => `${each} = array[${sumOf(each)}]`)].join(', ')}`
}

function sumOf(histogram: string): string {
  const classes = Array.from({ length: HISTOGRAM_CLASSES }, (_, index) => index + 1)
  return classes.map((each) => `s.${histogram}[${each}] + excluded.${histogram}[${each}]`).join(', ')
}
