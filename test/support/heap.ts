import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Returns what this process holds in its heap and in buffers once the garbage is collected, in bytes. */
export function heldBytes(): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/**
 * Returns by how much readings grow from one to the next: the median of the slopes between any two, so that single
 * readings, high or low, do not count.
 */
export function slopeOf(readings: readonly number[]): number {
  const slopes = readings.flatMap((later, index) =>
    readings.slice(0, index).map((earlier, before) => (later - earlier) / (index - before)),
  )
  return slopes.toSorted((a, b) => a - b)[Math.floor(slopes.length / 2)] ?? 0
}
