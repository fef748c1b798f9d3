/** What an entry tells of a change. */
interface Told {
  before?: Record<string, unknown>
  after?: Record<string, unknown>
  /** What was changed, too, and is told by its name alone, since it is secret. */
  secret: readonly string[]
  /** What else was changed, of which the entry has the name alone. */
  named: readonly string[]
  rest: Record<string, unknown>
}

/** Members that the page shows elsewhere. */
const SHOWN = new Set(['before', 'after', 'changed', 'from', 'to', 'name', 'slug', 'label'])

/** Members whose values no entry has: they are stored sealed. */
const SECRET = new Set(['config', 'headers', 'client_certificate', 'values'])

/** Takes an entry's detail apart into what was and is, and what it says beside that. */
export function splitDetail(detail: Readonly<Record<string, unknown>>): Told {
  const { before, after, changed, from, to } = detail
  const rest = Object.fromEntries(
    Object.entries(detail).filter(([name, value]) => {
      // A change names its members once more, as they are now.
      const isRepeated = isRecord(after) && JSON.stringify(after[name]) === JSON.stringify(value)
      return !SHOWN.has(name) && !isRepeated
    }),
  )
  const names = (Array.isArray(changed) ? changed : []).filter((name) => typeof name === 'string')
  if (isRecord(before) && isRecord(after)) {
    const untold = names.filter((name) => !Object.hasOwn(before, name) && !Object.hasOwn(after, name))
    const { secret = [], named = [] } = Object.groupBy(untold, (name) =>
      SECRET.has(name) ? 'secret' : 'named',
    )
    return { before, after, secret, named, rest }
  }
  const isMove = 'from' in detail && 'to' in detail
  return isMove
    ? { before: { '': from }, after: { '': to }, secret: [], named: names, rest }
    : {
        secret: [],
        named: names,
        rest: { ...rest, ...('from' in detail && { from }), ...('to' in detail && { to }) },
      }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
