import type { Bed } from './bed.ts'
import type { CpuCosts } from './figure.ts'
import { cpuSeconds, postgresCpuSeconds } from './usage.ts'

/**
 * Measures the CPU time that one event or delivery costs each process: unlike a rate, it hardly depends on what else
 * the machine is doing.
 */
export class CpuMeter {
  readonly #bed: Bed
  readonly #pids: Readonly<Record<string, number>>
  readonly #seconds = new Map<string, number>()
  #items = 0

  /** @param pids processes by the name that the figure gives them; Postgres is always among them */
  constructor(bed: Bed, pids: Readonly<Record<string, number>>) {
    this.#bed = bed
    this.#pids = pids
  }

  /** @returns what `work` returns, in the course of which there were `itemsOf` it items */
  async during<T>(work: () => Promise<T>, itemsOf: (result: T) => number): Promise<T> {
    const before = await this.#read()
    const result = await work()
    for (const [name, seconds] of await this.#read()) {
      this.#seconds.set(name, (this.#seconds.get(name) ?? 0) + seconds - (before.get(name) ?? 0))
    }
    this.#items += itemsOf(result)
    return result
  }

  /** Microseconds an item; empty on a machine without /proc. */
  costs(): CpuCosts {
    return Object.fromEntries(
      [...this.#seconds].map(([name, seconds]) => [name, Math.round((seconds * 1e6) / this.#items)]),
    )
  }

  async #read(): Promise<Map<string, number>> {
    const readings = new Map<string, number>()
    const note = (name: string, seconds: number | null): void => {
      if (seconds !== null) readings.set(name, seconds)
    }
    for (const [name, pid] of Object.entries(this.#pids)) note(name, await cpuSeconds(pid))
    note('postgres', await postgresCpuSeconds(this.#bed.postgresFolder))
    return readings
  }
}
