import type { Members } from './graph.ts'

/** Not taken, and one that the compiler accepts: `delay_2`. */
export function freshId(base: string, taken: ReadonlySet<string>): string {
  return freshIds(taken)(base)
}

/** Gives one free id after another. Each kind is counted on from where it was, so many cost no more than a few. */
export function freshIds(taken: ReadonlySet<string>): (base: string) => string {
  const counts = new Map<string, number>()
  const given = new Set<string>()
  return (base) => {
    const stem = stemOf(base)
    let count = counts.get(stem) ?? 1
    while (taken.has(`${stem}_${count}`) || given.has(`${stem}_${count}`)) count++
    const id = `${stem}_${count}`
    counts.set(stem, count + 1)
    given.add(id)
    return id
  }
}

function stemOf(base: string): string {
  const stem = base
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, '_')
    .replace(/^[^a-z]+/, '')
    .slice(0, STEM_LENGTH)
  return stem || 'step'
}

/** Leaves place for a number: ids have up to 64 characters. */
const STEM_LENGTH = 56

/** The base of an id for a new step: its action if it has one, else its type. */
export function baseOfId(step: Members): string {
  const { type, action_type: actionType, action_id: actionId } = step
  const name = [actionType, actionId, type].find((each) => typeof each === 'string' && each !== '')
  return typeof name === 'string' ? name : 'step'
}
