/** Ids carry the clock of the host that minted them: a range of ids is cut this much wider than the times asked for. */
export const ID_CLOCK_SLACK_MS = 3_600_000

/**
 * An execution's id has the time of its event, or of its schedule's firing: after a downtime it is created long after
 * that. A range of executions is cut so much wider at its lower end; one that started later than that is found without it.
 */
export const LATE_START_MS = 86_400_000

/** Below every id. */
export const LOWEST_ID = '00000000-0000-0000-0000-000000000000'

const LAST_MS = 2 ** 48 - 1

/** Below every UUIDv7 that is minted in this millisecond or later, above all that were minted before. */
export function lowestIdAt(ms: number): string {
  const hex = Math.min(Math.max(Math.trunc(ms), 0), LAST_MS)
    .toString(16)
    .padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
}

const HYPHENS = [8, 12, 16, 20]

/** The lowest and the highest id that begin with the text, hyphens or not; null: none does. */
export function idsBeginningWith(text: string): { from: string; to: string } | null {
  const digits = text.toLowerCase().replaceAll('-', '')
  if (!/^[0-9a-f]{1,32}$/.test(digits)) return null
  const [from, to] = [idOf(digits.padEnd(32, '0')), idOf(digits.padEnd(32, 'f'))]
  return !text.includes('-') || from.startsWith(text.toLowerCase()) ? { from, to } : null
}

function idOf(digits: string): string {
  return [0, ...HYPHENS].map((at, index) => digits.slice(at, HYPHENS[index])).join('-')
}
