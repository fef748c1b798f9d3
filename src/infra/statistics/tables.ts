import { type Borders, QUEUE_BORDERS, REQUEST_BORDERS, RUN_BORDERS } from '#lib/histogram.ts'

/** The keys and the counts of a table of statistics: the SQL that adds up, rolls up and reads is made of them. */
export interface StatsTable {
  readonly name: string
  /** Columns by which rows are told apart beside tenant, span and bucket, with their types. */
  readonly keys: Readonly<Record<string, 'uuid' | 'text'>>
  readonly counts: readonly string[]
  /** Of the time that something took. */
  readonly borders: Borders
  /** Of the time for which it had waited before; null: that is not kept. */
  readonly queueBorders: Borders | null
}

function table<const Name extends string, const Key extends string, const Count extends string>(
  name: Name,
  keys: Readonly<Record<Key, 'uuid' | 'text'>>,
  counts: readonly Count[],
  borders: Borders,
  queueBorders: Borders | null = null,
) {
  return { name, keys, counts, borders, queueBorders }
}

/** The columns that are histograms, in their order. */
export function histogramsOf({ queueBorders }: StatsTable): ('latency' | 'queue_age')[] {
  return queueBorders === null ? ['latency'] : ['latency', 'queue_age']
}

export const STATS = {
  deliveries: table(
    'delivery_stats',
    { plugin_id: 'uuid', event: 'text', error_class: 'text' },
    ['attempts', 'sent', 'first_try', 'retried', 'failed', 'superseded'],
    REQUEST_BORDERS,
    QUEUE_BORDERS,
  ),
  executions: table(
    'execution_stats',
    { flow_id: 'uuid', error_code: 'text' },
    ['completed', 'failed', 'cancelled', 'timed_out'],
    RUN_BORDERS,
    QUEUE_BORDERS,
  ),
  actions: table(
    'action_stats',
    { action: 'text', plugin: 'text', error_code: 'text' },
    ['succeeded', 'failed', 'accepted'],
    REQUEST_BORDERS,
  ),
}
export type StatsKind = keyof typeof STATS
export type KeysOf<Kind extends StatsKind> = Record<keyof (typeof STATS)[Kind]['keys'] & string, string>
export type CountOf<Kind extends StatsKind> = (typeof STATS)[Kind]['counts'][number]

export const STATS_KINDS = Object.keys(STATS) as StatsKind[]

/** Seconds that a row stands for, finest first, and for how many days rows of it are kept. */
export const SPANS = [
  { seconds: 60, keptDays: 2 },
  { seconds: 300, keptDays: 14 },
  { seconds: 3_600, keptDays: 90 },
  { seconds: 86_400, keptDays: 730 },
] as const
