import type { ErrorClass } from '#db/schema.ts'

/** A message as it is delivered, with what stands beside it. */
export interface Message {
  /** The event's id, the same over all attempts. */
  id: string
  /** Sent byte for byte. */
  body: string
  /** To be handed back with events that the plugin publishes because of this one; null: no event that is kept. */
  causationId: string | null
  causationDepth: number
  /** By which the plugin shows that it was told so; null: there is nothing to hand back. */
  causationToken: string | null
  event: string
  /** The slug of the plugin that published it, or `platform`. */
  publisher: string
  /** 1 for the first. */
  attempt: number
}

/**
 * `gone`: the destination wants no more messages, ever. `later`: it asks for patience, see `retryAfterMs`. `failed`:
 * anything else that is not `ok`.
 */
export type AttemptOutcome = 'ok' | 'gone' | 'later' | 'failed'

/** The result of one attempt, in words that hold for every kind of destination. */
export interface AttemptResult {
  outcome: AttemptOutcome
  /** The destination is down or overrun, and did not only refuse this one message. */
  isOutage: boolean
  /** Milliseconds for which it asks to be left alone, not clamped; null unless `later`. */
  retryAfterMs: number | null
  /** Epoch milliseconds. */
  startedAtMs: number
  durationMs: number
  errorClass: ErrorClass | null
  /** A sentence for people, free of secrets. */
  errorDetail: string | null
  /** Its answer's status, for the log alone: what it means is said above. */
  status: number | null
  headers: Readonly<Record<string, string>>
  body: string
  truncated: boolean
}

/** The receiver of one plugin's messages: knows how to send them, and what an answer means. */
export interface Destination {
  /** JSON: how messages are sent, but for what follows from the message. It is kept with each attempt. */
  readonly request: string
  /**
   * One attempt. Never rejects: what goes wrong is in the result.
   * @param signal gives it up
   */
  send(message: Message, signal?: AbortSignal): Promise<AttemptResult>
  /** Tells whether an attempt that ended with this error class, of which no more is known, may have been an outage. */
  mayBeOutage(errorClass: string | null): boolean
}
