import { readJson } from '../api/client.ts'

const keyOf = (what: string, flow: string): string => `bcs.${what}.${flow}`

/**
 * What this tab of the browser remembers of a flow until it is closed; what is tried out is stored nowhere else.
 * Undefined: nothing is kept, or nothing that can be read.
 */
export function readKept(what: string, flow: string): unknown {
  const text = sessionStorage.getItem(keyOf(what, flow))
  if (text === null) return undefined
  try {
    return readJson(text)
  } catch {
    return undefined
  }
}

/** Undefined takes it away. What is too large for the browser is not kept. */
export function keep(what: string, flow: string, value: unknown): void {
  try {
    if (value === undefined) sessionStorage.removeItem(keyOf(what, flow))
    else sessionStorage.setItem(keyOf(what, flow), JSON.stringify(value))
  } catch {
    sessionStorage.removeItem(keyOf(what, flow))
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
