/** As browsers say that a module, or the styles that belong to it, could not be had. */
const GONE = /dynamically imported module|importing a module script failed|unable to preload/i

/** Tells a page whose files are not there, as after an upgrade, from one that throws while it is loaded. */
export function isGone(error: unknown): boolean {
  return error instanceof Error && GONE.test(error.message)
}
