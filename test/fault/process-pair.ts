import type { Test } from 'tap'
import { type ServiceOptions, type ServiceProcess, startService } from '#test/support/service-process.ts'

interface Slot {
  ready: ServiceProcess | null
  starting: Promise<ServiceProcess>
}

/** Two processes over one database, of which one at a time is killed and replaced. */
export class ProcessPair {
  /** Epoch milliseconds of each. */
  readonly kills: number[] = []
  readonly #t: Test
  readonly #options: ServiceOptions
  readonly #slots: Slot[] = []

  constructor(t: Test, options: ServiceOptions) {
    this.#t = t
    this.#options = options
  }

  async start(): Promise<void> {
    for (let index = 0; index < 2; index++) {
      this.#fill(index)
      // One after the other: the first one migrates.
      await this.#slots[index]?.starting
    }
  }

  /** One that answers; null: none does. */
  get live(): ServiceProcess | null {
    const ready = this.#slots.flatMap(({ ready }) => (ready === null ? [] : [ready]))
    return ready[Math.floor(Math.random() * ready.length)] ?? null
  }

  /** Kills either one, and begins to start another in its place. */
  async killOne(): Promise<void> {
    const index = Math.floor(Math.random() * this.#slots.length)
    const slot = this.#slots[index]
    if (slot === undefined) throw new Error('not started')
    const service = await slot.starting
    slot.ready = null
    service.kill('SIGKILL')
    this.kills.push(Date.now())
    await service.exited
    this.#fill(index)
  }

  /** Both are there. */
  async complete(): Promise<void> {
    await Promise.all(this.#slots.map(({ starting }) => starting))
  }

  #fill(index: number): void {
    const starting = startService(this.#t, this.#options)
    const slot: Slot = { ready: null, starting }
    this.#slots[index] = slot
    starting.then(
      (service) => (slot.ready = service),
      // Callers that wait for it hear of it.
      () => undefined,
    )
  }
}
