/**
 * The milliseconds by which this host's clock is behind the database's; negative: ahead. `now()` gives the time to
 * compare with the database's times, or with ids of other hosts.
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

/** Rises whenever another offset counts: remembered times are of another clock then. */
export function clockGeneration(): number {
  return generation
}

export function setClockOffset(ms: number): void {
  if (ms === offsetMs) return
  offsetMs = ms
  generation++
}
