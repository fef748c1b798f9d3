import { session } from '../api/session.svelte.ts'
import type { Route, Scope } from '../routes.ts'

/** True if the caller's rights reach the page: a page beyond them is not offered. The service decides anyway. */
export function maySee(route: Route): boolean {
  if (!session.isPlugin) return session.may(route.role)
  return route.plugin !== undefined && hasScope(route.plugin)
}

/** Tells whether a plugin's session has a scope, whatever it is narrowed to; everybody else does not need any. */
export function hasScope(scope: Scope): boolean {
  const { plugin } = session.info ?? {}
  return plugin == null || plugin.scopes.some((each) => each === scope || each.startsWith(`${scope}:`))
}
