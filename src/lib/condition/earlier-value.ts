import { type Path, readPath } from '#lib/json/path.ts'

/** An earlier value that is told of, but not told: equal to nothing. */
const ANOTHER = Symbol('another value')

/**
 * Returns what an event's data says of one of its fields before the event; undefined: nothing. It may say so by
 * `previous: { "total": 90 }`, by `previous_status: "new"`, or by `changes: ["phone"]`, the names of the fields that
 * have another value now.
 *
 * `inventory.updated` tells of one number alone, and has what it was as `previous: 120`.
 *
 * @param path of the field in the data
 * @param spend is told how many names are looked through
 */
export function earlierValue(
  data: unknown,
  path: Path,
  spend?: (steps: number) => void,
): { value: unknown } | undefined {
  const [name] = path
  if (name === undefined) return undefined
  const before = readPath(data, ['previous', ...path])
  if (before !== undefined) return { value: before }
  const only = readPath(data, ['previous'])
  if (path.length === 1 && name === 'available' && typeof only === 'number') return { value: only }
  const named = path.length === 1 ? readPath(data, [`previous_${name}`]) : undefined
  if (named !== undefined) return { value: named }
  const changes = readPath(data, ['changes'])
  if (!Array.isArray(changes)) return undefined
  spend?.(changes.length)
  return { value: changes.includes(name) ? ANOTHER : readPath(data, path) }
}
