import { createHash } from 'node:crypto'

/** Told to the receiver: a plugin's secret, and how many requests it fails before it works. */
export interface Endpoint {
  plugin: string
  secret: string
  failures: number
}

/** Told by the receiver: a request that came. */
export interface Arrival {
  plugin: string
  eventId: string
  /** As `nowMs()` in either process. */
  at: number
  verified: boolean
  dataHash: string
  status: number
}

export interface Listening {
  url: string
}

/** Of an event's data, to compare what was sent with what came. */
export function hashOf(data: unknown): string {
  return createHash('sha256').update(JSON.stringify(data)).digest('hex')
}

/** Milliseconds since 1970, with fractions: all processes of a machine read the same clock. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now()
}
