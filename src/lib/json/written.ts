import { randomUUID } from 'node:crypto'

/** Stands in an answer for the text that is put there. Made anew by each process and never sent, so no caller knows it. */
const MARK = `written-${randomUUID()}-`
const MARKED = new RegExp(`"${MARK}(\\d+)"`, 'g')

/** The texts of the value that is being written; null: none is. */
let texts: string[] | null = null

/**
 * JSON that is put into an answer as it is written, where a value that was parsed would have the order of its members
 * and the spelling of its numbers as JavaScript has them. It needs a place that its schema says nothing of.
 */
export class WrittenJson {
  readonly #text: string

  /** @param text valid JSON */
  constructor(text: string) {
    this.#text = text
  }

  /** Only within `withWritten`. */
  toJSON(): string {
    if (texts === null) throw new TypeError('written JSON stands outside of an answer')
    return `${MARK}${texts.push(this.#text) - 1}`
  }
}

/** Returns what `write` returns, with the texts of the value's WrittenJson in their places. */
export function withWritten(write: () => string): string {
  const found: string[] = []
  texts = found
  try {
    const written = write()
    return found.length === 0
      ? written
      : written.replace(MARKED, (_, index) => found[Number(index)] ?? 'null')
  } finally {
    texts = null
  }
}

/** `JSON.stringify` of a value that may have WrittenJson in it. */
export function stringifyWritten(value: object): string {
  return withWritten(() => JSON.stringify(value))
}
