import type { GivenMock, Mock } from './types.ts'

/** Names of mocks that an answer tells: a list of a thousand is a thousand of them. */
const UNUSED_MAX = 1_000

/** Keeps what was given in place of the outside, and which of it was asked for. */
export class Mocks {
  /** By `<step id>:<index>`, and by step id. */
  readonly #given = new Map<string, Mock>()
  readonly #used = new Set<string>()

  /** @param given what names an item goes before the list of its step */
  constructor(given: Readonly<Record<string, GivenMock>>) {
    for (const [name, mock] of Object.entries(given)) {
      if (!isList(mock)) this.#given.set(name, mock)
    }
    for (const [stepId, list] of Object.entries(given)) {
      if (!isList(list)) continue
      for (const [index, mock] of list.entries()) {
        const name = `${stepId}:${index}`
        if (mock !== null && !this.#given.has(name)) this.#given.set(name, mock)
      }
    }
  }

  /** @param part what the step can make use of */
  find<Part extends keyof Mock>(
    stepId: string,
    iteration: string,
    part: Part,
  ): NonNullable<Mock[Part]> | undefined {
    for (const name of [`${stepId}:${iteration}`, stepId]) {
      const mock = this.#given.get(name)
      if (mock === undefined || !Object.hasOwn(mock, part)) continue
      this.#used.add(name)
      return mock[part] as NonNullable<Mock[Part]>
    }
    return undefined
  }

  get unused(): string[] {
    const names = this.#given.keys().filter((name) => !this.#used.has(name))
    return [...names.take(UNUSED_MAX)]
  }
}

function isList(given: GivenMock): given is readonly (Mock | null)[] {
  return Array.isArray(given)
}
