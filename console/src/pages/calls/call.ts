/** The message of an error that the log keeps; null: there is none. */
export function messageOf(result: unknown): string | null {
  if (typeof result !== 'object' || result === null || !('message' in result)) return null
  return typeof result.message === 'string' ? result.message : null
}

/** The step that a flow's call was for, as the page of a run takes it: its id, and in a loop the item behind it. */
export function stepOf(eventKey: string): { step: string; iteration?: string } {
  const at = eventKey.indexOf(':')
  return at === -1 ? { step: eventKey } : { step: eventKey.slice(0, at), iteration: eventKey.slice(at + 1) }
}
