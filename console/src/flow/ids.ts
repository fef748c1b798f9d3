import type { Members } from './graph.ts'

/** Not taken, and one that the compiler accepts: `delay_2`. */
export function freshId(base: string, taken: ReadonlySet<string>): string {
  const stem = base
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, '_')
    .replace(/^[^a-z]+/, '')
    .slice(0, STEM_LENGTH)
  let count = 1
  while (taken.has(`${stem || 'step'}_${count}`)) count++
  return `${stem || 'step'}_${count}`
}

/** Leaves place for a number: ids have up to 64 characters. */
const STEM_LENGTH = 56

/** An id for a new step: by its action if it has one, else by its type. */
export function idOfCopy(step: Members, taken: ReadonlySet<string>): string {
  const { type, action_type: actionType, action_id: actionId } = step
  const name = [actionType, actionId, type].find((each) => typeof each === 'string' && each !== '')
  return freshId(typeof name === 'string' ? name : 'step', taken)
}
