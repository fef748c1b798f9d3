import { text } from './event-type.ts'

/** The words that every alert of this service has: what happened, and what to do about it. */
export const IN_WORDS = { summary: text, what_to_do: text }
