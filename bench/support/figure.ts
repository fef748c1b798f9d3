import type { Stage } from './stage.ts'
import { median } from './stats.ts'

/** A bound for a row's ratio or for our own value. */
export type Bound = { of: 'ratio' | 'ours' } & ({ atLeast: number } | { atMost: number })

/** One line of the table. */
export interface Row {
  name: string
  ours: number
  /** The most (or best) that the machine does in the same run; null where there is no such thing. */
  ceiling: number | null
  unit: string
  target: Bound | null
  /** A promise and no wish: a run that does not meet its target has failed. */
  isGate?: true
  /** The single measurements behind the medians. */
  rounds?: Rounds
  cpu?: { ours: CpuCosts; ceiling: CpuCosts }
  detail?: Record<string, unknown>
}

/** CPU microseconds of each process for one event or delivery. */
export type CpuCosts = Record<string, number>

export interface Rounds {
  ours: number[]
  ceiling: number[]
}

export interface Figure {
  /** The figure's name for `--only`. */
  name: string
  title: string
  /** Describes the measurement and its ceiling, in Markdown. */
  about: string
  measure(stage: Stage): Promise<Row[]>
}

export function ratioOf({ ours, ceiling }: Pick<Row, 'ours' | 'ceiling'>): number | null {
  return ceiling === null ? null : ours / ceiling
}

export function meets(row: Row): boolean | null {
  if (row.target === null) return null
  const value = row.target.of === 'ours' ? row.ours : ratioOf(row)
  if (value === null) return null
  return 'atLeast' in row.target ? value >= row.target.atLeast : value <= row.target.atMost
}

/** Returns the rows that a run has failed by. */
export function missedGates(rows: readonly Row[]): Row[] {
  return rows.filter((row) => row.isGate === true && meets(row) === false)
}

/** Ceiling, ours, ceiling, ours …: other work of the machine meets both alike. */
export async function interleave(
  stage: Stage,
  count: number,
  measure: { ceiling: () => Promise<number>; ours: () => Promise<number> },
): Promise<Rounds> {
  const rounds: Rounds = { ours: [], ceiling: [] }
  for (let round = 1; round <= count; round++) {
    const ceiling = await measure.ceiling()
    const ours = await measure.ours()
    rounds.ceiling.push(ceiling)
    rounds.ours.push(ours)
    stage.say(`round ${round} of ${count}: ceiling ${Math.round(ceiling)}/s, ours ${Math.round(ours)}/s`)
  }
  return rounds
}

/** A row of medians. */
export function rowOf(rounds: Rounds, row: Omit<Row, 'ours' | 'ceiling' | 'rounds'>): Row {
  return { ...row, ours: median(rounds.ours), ceiling: median(rounds.ceiling), rounds }
}
