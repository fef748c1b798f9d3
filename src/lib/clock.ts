/**
 * How far this host's clock is behind the database's, in milliseconds; negative: ahead. What is compared with the
 * database's times, or with ids of other hosts, is read from `now()`.
 */
let offsetMs = 0
let generation = 0

/** Epoch milliseconds by the database's clock, as far as it is known. */
export function now(): number {
  return Date.now() + offsetMs
}

/** 0 while the host's clock is taken as it is. */
export function clockOffsetMs(): number {
  return offsetMs
}

/** Rises whenever another offset counts: what was remembered of the time before is of another clock. */
export function clockGeneration(): number {
  return generation
}

export function setClockOffset(ms: number): void {
  if (ms === offsetMs) return
  offsetMs = ms
  generation++
}
