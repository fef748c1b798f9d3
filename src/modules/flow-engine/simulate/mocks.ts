import type { Mock } from './types.ts'

/** Keeps what was given in place of the outside, and which of it was asked for. */
export class Mocks {
  readonly #given: Readonly<Record<string, Mock>>
  readonly #used = new Set<string>()

  constructor(given: Readonly<Record<string, Mock>>) {
    this.#given = given
  }

  /** @param part what the step can make use of */
  find<Part extends keyof Mock>(
    stepId: string,
    iteration: string,
    part: Part,
  ): NonNullable<Mock[Part]> | undefined {
    for (const name of [`${stepId}:${iteration}`, stepId]) {
      const mock = Object.hasOwn(this.#given, name) ? this.#given[name] : undefined
      if (mock === undefined || !Object.hasOwn(mock, part)) continue
      this.#used.add(name)
      return mock[part] as NonNullable<Mock[Part]>
    }
    return undefined
  }

  get unused(): string[] {
    return Object.keys(this.#given).filter((name) => !this.#used.has(name))
  }
}
