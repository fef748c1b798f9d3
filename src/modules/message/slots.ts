interface Waiter {
  key: string
  /** False: it has waited for too long. */
  enter: (entered: boolean) => void
}

/** So many at a time, and so many for each key, so that one shop's rush leaves room for the others. */
export class Slots {
  readonly #total: number
  readonly #perKey: number
  readonly #inUse = new Map<string, number>()
  readonly #waiters = new Set<Waiter>()
  #taken = 0

  constructor(total: number, perKey: number) {
    this.#total = total
    this.#perKey = perKey
  }

  /** @returns whether there was one within `timeoutMs`; then it has to be given back */
  async take(key: string, timeoutMs: number): Promise<boolean> {
    if (this.#isFree(key)) {
      this.#occupy(key)
      return true
    }
    let timer: NodeJS.Timeout | undefined
    const entered = await new Promise<boolean>((resolve) => {
      const waiter = { key, enter: resolve }
      this.#waiters.add(waiter)
      timer = setTimeout(() => {
        this.#waiters.delete(waiter)
        resolve(false)
      }, timeoutMs)
    })
    clearTimeout(timer)
    return entered
  }

  giveBack(key: string): void {
    this.#taken--
    const left = (this.#inUse.get(key) ?? 1) - 1
    if (left === 0) this.#inUse.delete(key)
    else this.#inUse.set(key, left)
    for (const waiter of this.#waiters) {
      if (!this.#isFree(waiter.key)) continue
      this.#waiters.delete(waiter)
      this.#occupy(waiter.key)
      waiter.enter(true)
      return
    }
  }

  #isFree(key: string): boolean {
    return this.#taken < this.#total && (this.#inUse.get(key) ?? 0) < this.#perKey
  }

  #occupy(key: string): void {
    this.#taken++
    this.#inUse.set(key, (this.#inUse.get(key) ?? 0) + 1)
  }
}
