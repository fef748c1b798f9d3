import type { RegistryAction } from '../registry/index.ts'

const FIELDS = /:([a-z_]+)/g

/** Fields that the action's path takes out of the payload: `/api/products/:id` takes `id`. */
export function pathFields({ path }: Pick<RegistryAction, 'path'>): string[] {
  return [...(path ?? '').matchAll(FIELDS)].map(([, field]) => field as string)
}

/** The path with its fields filled in, each as one segment. */
export function platformPath(
  { path }: Pick<RegistryAction, 'path'>,
  payload: Record<string, unknown>,
): string {
  return (path ?? '').replaceAll(FIELDS, (_match, field: string) =>
    encodeURIComponent(segmentOf(payload[field])),
  )
}

/** `.` and `..` are steps through the path, which no encoding makes names. */
export function isPathSegment(value: unknown): boolean {
  return !/^\.\.?$/.test(segmentOf(value))
}

export function withoutPathFields(
  action: Pick<RegistryAction, 'path'>,
  payload: Record<string, unknown>,
): Record<string, unknown> {
  const taken = new Set(pathFields(action))
  return Object.fromEntries(Object.entries(payload).filter(([field]) => !taken.has(field)))
}

function segmentOf(value: unknown): string {
  return (typeof value === 'string' ? value : JSON.stringify(value)).toWellFormed()
}
