import { isRawNumber } from '#lib/json/index.ts'
import type { RegistryAction } from '#modules/registry/index.ts'

const FIELDS = /:([a-z_]+)/g

/** The path with its fields filled in, each as one segment. */
export function platformPath(
  { path }: Pick<RegistryAction, 'path'>,
  payload: Record<string, unknown>,
): string {
  return (path ?? '').replaceAll(FIELDS, (_match, field: string) =>
    encodeURIComponent(segmentOf(payload[field])),
  )
}

/** What is wrong with a value as a segment of a path; null: nothing. No encoding makes `.` and `..` names. */
export function segmentFault(value: unknown): string | null {
  if (typeof value !== 'string' && typeof value !== 'number' && !isRawNumber(value))
    return 'Must be text or a number, for it is part of the path.'
  return /^\.\.?$/.test(segmentOf(value)) ? 'Must not be a dot or two.' : null
}

function segmentOf(value: unknown): string {
  return (typeof value === 'string' ? value : JSON.stringify(value)).toWellFormed()
}
