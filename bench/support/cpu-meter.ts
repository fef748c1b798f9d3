import type { Bed } from './bed.ts'
import type { CpuCosts } from './figure.ts'
import { cpuSeconds, postgresCpuSeconds } from './usage.ts'

/**
 * What one event or delivery costs each process in CPU time: unlike a rate, it hardly depends on what else the
 * machine is doing.
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

  /** @returns what `work` returns: a rate, which is that of `itemsOf(rate)` items */
  async during(work: () => Promise<number>, itemsOf: (perSecond: number) => number): Promise<number> {
    const before = await this.#read()
    const perSecond = await work()
    for (const [name, seconds] of await this.#read()) {
      this.#seconds.set(name, (this.#seconds.get(name) ?? 0) + seconds - (before.get(name) ?? 0))
    }
    this.#items += itemsOf(perSecond)
    return perSecond
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
