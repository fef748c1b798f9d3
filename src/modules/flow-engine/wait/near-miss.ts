import { identityText } from '#lib/condition/identity.ts'
import { parsePath, readPath } from '#lib/json/path.ts'

const NUMBER = /^[+-]?\d{1,30}(?:\.\d{1,30})?$/
const SHOWN_MAX_CHARS = 100

/**
 * Says in which values an event misses a match by their spelling alone: by case, white space, or zeros of a number.
 * Null: it misses nothing, or is about something else.
 *
 * @param values that the event must have, by path
 */
export function nearMiss(values: Readonly<Record<string, unknown>>, data: unknown): string | null {
  const misses: string[] = []
  for (const [path, value] of Object.entries(values)) {
    const wanted = identityText(value)
    const given = identityText(readPath(data, parsePath(path) ?? []))
    if (wanted === null || given === null || spelledAlike(wanted) !== spelledAlike(given)) return null
    if (wanted !== given) misses.push(`its ${path} is ${shown(given)}, the wait's ${shown(wanted)}`)
  }
  return misses.length === 0 ? null : misses.join('; ')
}

/** Says how an event spells what a wait that it misses by spelling alone looks for. */
export function nearMissOf(paths: string, data: unknown): string {
  const given = paths.split('\n').map((path) => {
    const text = identityText(readPath(data, parsePath(path) ?? []))
    return `its ${path} is ${text === null ? 'as it is waited for' : shown(text)}`
  })
  return `${given.join('; ')}: what is waited for differs in case, white space or zeros of a number alone`
}

/** Returns a text without what two systems may spell in different ways. */
export function spelledAlike(text: string): string {
  const bare = text.trim().replace(/\s+/g, ' ').toLowerCase()
  if (!NUMBER.test(bare)) return bare
  const [whole = '', fraction = ''] = bare.replace(/^\+/, '').split('.')
  const zeros = /^(-?)0+(?=\d)/
  const rest = fraction.replace(/0+$/, '')
  return rest === '' ? whole.replace(zeros, '$1') : `${whole.replace(zeros, '$1')}.${rest}`
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, SHOWN_MAX_CHARS))
}
