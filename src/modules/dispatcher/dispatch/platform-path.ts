import { pathSegment } from '#lib/path-segment.ts'
import type { RegistryAction } from '#modules/registry/index.ts'

const FIELDS = /:([a-z_]+)/g

/** The path with its fields filled in, each as one segment. */
export function platformPath(
  { path }: Pick<RegistryAction, 'path'>,
  payload: Record<string, unknown>,
): string {
  return (path ?? '').replaceAll(FIELDS, (_match, field: string) => pathSegment(payload[field]))
}
