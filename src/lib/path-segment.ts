import { isRawNumber } from '#lib/json/raw-number.ts'

const ENCODED_DOT = /%2e/gi
const SLASHES = /%2f|%5c|\\/gi

/**
 * Returns whether a path, or a segment of one, has `.` or `..` in it where a URL parser, a proxy or a server that decodes
 * escaped slashes takes it for a step up.
 */
export function hasDotSegment(path: string): boolean {
  return path
    .replace(ENCODED_DOT, '.')
    .replace(SLASHES, '/')
    .split('/')
    .some((segment) => segment === '.' || segment === '..')
}

/** Returns what is wrong with a segment of a URL's path; null: nothing. No encoding makes `.` and `..` names. */
export function segmentFault(value: unknown): string | null {
  if (typeof value !== 'string' && typeof value !== 'number' && !isRawNumber(value))
    return 'Must be text or a number, for it is part of the path.'
  return /^\.\.?$/.test(textOf(value)) ? 'Must not be a dot or two.' : null
}

/** The value as one segment, whatever characters it has. Numbers keep all their digits. */
export function pathSegment(value: unknown): string {
  return encodeURIComponent(textOf(value))
}

function textOf(value: unknown): string {
  return (typeof value === 'string' ? value : JSON.stringify(value)).toWellFormed()
}
