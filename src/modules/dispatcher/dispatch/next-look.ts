/**
 * Looks at something that may have changed: one at a time for each name, and always one that began after it was asked
 * for. Who asks while a look is under way shares the next one, so that however many ask, a busy name costs one look
 * at a time.
 */
export class NextLook<T> {
  readonly #underWay = new Map<string, Promise<T>>()
  readonly #next = new Map<string, Promise<T>>()

  get(name: string, look: () => Promise<T>): Promise<T> {
    let next = this.#next.get(name)
    if (next === undefined) {
      next = this.#after(name, look)
      this.#next.set(name, next)
    }
    return next
  }

  async #after(name: string, look: () => Promise<T>): Promise<T> {
    // How that one ends is its askers' business.
    await this.#underWay.get(name)?.catch(() => undefined)
    const result = look()
    this.#next.delete(name)
    this.#underWay.set(name, result)
    try {
      return await result
    } finally {
      if (this.#underWay.get(name) === result) this.#underWay.delete(name)
    }
  }
}
