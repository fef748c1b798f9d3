/** The value below which the share `p` of the sorted values lies (nearest rank); NaN of none. */
export function percentile(sorted: readonly number[], p: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * p) - 1)] ?? Number.NaN
}

export function sortNumbers(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b)
}

/** Of an even number of values the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = sortNumbers(values)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

/** Microseconds of a clock that all processes of a machine share. */
export function clockMicros(): number {
  return Number(process.hrtime.bigint() / 1_000n)
}
