import { END } from './elements.ts'

const ID = /^[a-z][a-z0-9_]{0,63}$/

/** Tells an id that steps, triggers, cases and variables may have. */
export function isId(text: unknown): text is string {
  return typeof text === 'string' && ID.test(text)
}

/** A step's id; `end` is where flows end. */
export function isStepId(text: unknown): text is string {
  return isId(text) && text !== END
}
