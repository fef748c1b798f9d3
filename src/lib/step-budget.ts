/** Work in steps was more than allowed. */
export class OutOfSteps extends Error {
  constructor() {
    super('out of steps')
  }
}

/**
 * Steps that may be taken: one is a comparison, a member or 64 characters of text, some 100 ns of a usual core. They
 * are spent before the work, or right after it where only the work itself tells how much it is.
 */
export class StepBudget {
  readonly #total: number
  #left: number

  constructor(steps: number) {
    this.#total = steps
    this.#left = steps
  }

  get left(): number {
    return Math.max(this.#left, 0)
  }

  get spent(): number {
    return this.#total - this.#left
  }

  /** For work that is done: spends without stopping anybody. */
  take(steps: number): void {
    this.#left -= steps
  }

  /** @throws {OutOfSteps} when they are used up */
  spend(steps: number): void {
    this.#left -= steps
    if (this.#left < 0) throw new OutOfSteps()
  }
}

/** Returns what reading so many characters once costs. */
export function textSteps(characters: number): number {
  return characters >> 6
}
