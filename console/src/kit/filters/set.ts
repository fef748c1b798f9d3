import { router } from '../../router.svelte.ts'

/** Tells whether the address narrows a list by any of these filters. */
export function isAnySet(names: readonly string[]): boolean {
  return names.some((name) => router.query.has(name))
}
