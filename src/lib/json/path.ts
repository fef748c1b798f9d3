import { isRawNumber } from './raw-number.ts'

/** A parsed path: names of members and positions in lists. */
export type Path = readonly (string | number)[]

const MAX_PATH_CHARS = 256
const MAX_PATH_SEGMENTS = 32
/** A name (after a dot unless it is the first) or a position in brackets. Braces and bars belong to templates. */
const SEGMENT = /(?:^|(?!^)\.)([^\s.[\]{}|"'`]+)|(?!^)\[(\d{1,9})\]/y
const POSITION = /^\d{1,9}$/

/** `a.b[0].c` as its segments; null when it is empty, malformed or longer than 256 characters or 32 segments. */
export function parsePath(text: string): Path | null {
  if (text === '' || text.length > MAX_PATH_CHARS) return null
  const segments: (string | number)[] = []
  for (let at = 0; at < text.length; at = SEGMENT.lastIndex) {
    SEGMENT.lastIndex = at
    const match = SEGMENT.exec(text)
    if (!match || segments.length === MAX_PATH_SEGMENTS) return null
    segments.push(match[1] ?? Number(match[2]))
  }
  return segments
}

/**
 * Returns what stands beside the members of a root, in the scope's `beside`: under a name that the root's value does not
 * have itself.
 */
export function readBeside(scope: unknown, path: Path): unknown {
  const [root, name] = path
  if (root === undefined || name === undefined || readPath(scope, [root, name]) !== undefined)
    return undefined
  return readPath(scope, ['beside', ...path])
}

/**
 * Returns what stands at the path, or undefined. Own members of objects and elements of lists only: no `length`, nothing
 * of a prototype, nothing inside text or numbers. Numeric names find elements too, as in `items.0.sku`.
 */
export function readPath(root: unknown, path: Path): unknown {
  let current = root
  for (const segment of path) {
    if (typeof current !== 'object' || current === null || isRawNumber(current)) return undefined
    if (Array.isArray(current) && typeof segment === 'string' && !POSITION.test(segment)) return undefined
    if (!Object.hasOwn(current, segment)) return undefined
    current = (current as Record<string | number, unknown>)[segment]
  }
  return current
}
