import { text } from './event-type.ts'

/** What every alert of this service says in words: what happened, and what to do about it. */
export const IN_WORDS = { summary: text, what_to_do: text }
