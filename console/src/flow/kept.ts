import { readJson } from '../api/client.ts'
import { tab } from '../storage.ts'

/** What was done to a flow, to be undone. */
export const HISTORY = 'history'

const keyOf = (what: string, flow: string): string => `bcs.${what}.${flow}`

/**
 * What this tab of the browser remembers of a flow until it is closed; what is tried out is stored nowhere else.
 * Undefined: nothing is kept, or nothing that can be read.
 */
export function readKept(what: string, flow: string): unknown {
  const text = tab.getItem(keyOf(what, flow))
  if (text === null) return undefined
  try {
    return readJson(text)
  } catch {
    return undefined
  }
}

/**
 * Undefined takes it away. What there is no room for takes that of the histories, which matter least; if it is still too
 * large for the browser, what was kept before stays.
 */
export function keep(what: string, flow: string, value: unknown): void {
  const key = keyOf(what, flow)
  if (value === undefined) {
    tab.removeItem(key)
    return
  }
  const text = JSON.stringify(value)
  if (isStored(key, text)) return
  const histories = tab.keys().filter((each) => each.startsWith(keyOf(HISTORY, '')))
  for (const each of histories) tab.removeItem(each)
  isStored(key, text)
}

function isStored(key: string, text: string): boolean {
  try {
    tab.setItem(key, text)
    return true
  } catch {
    return false
  }
}

const SAMPLE = 'sample'

/** The past event that the flow is looked at with; empty: none, but what the catalogue has. */
export function keptEvent(flow: string): string {
  const id = readKept(SAMPLE, flow)
  return typeof id === 'string' ? id : ''
}

export function keepEvent(flow: string, id: string): void {
  keep(SAMPLE, flow, id === '' ? undefined : id)
}
