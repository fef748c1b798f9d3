/** What a card says beside what its step is. */
export interface CardState {
  /** As kit/status.ts knows it. */
  status: string
  /** Such as "2 tries", or how many items of a loop failed. */
  note: string | null
  /** The path has not come to it: it says something all the same. */
  isUnmet?: true
}

/** A run, a test, or problems, laid over a flow. */
export interface Painting {
  /** By step, and by `triggerKey`. */
  cards: ReadonlyMap<string, CardState>
  /** The ways that were taken, by `wayId`. */
  ways: ReadonlySet<string>
  /** The triggers that started it. */
  triggers: ReadonlySet<string>
  /** What was not met is faded. */
  isPath: boolean
}

/** What `cards` calls a trigger. */
export function triggerKey(id: string): string {
  return `trigger!${id}`
}

export const NOTHING: Painting = { cards: new Map(), ways: new Set(), triggers: new Set(), isPath: false }
