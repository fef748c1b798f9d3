import { session } from '../../api/session.svelte.ts'

/** True if the caller may pause, test, change and resend to plugins: editors, and a plugin's own session if its scopes say so. */
export function mayManage(): boolean {
  const { plugin } = session.info ?? {}
  return plugin == null ? session.may('editor') : plugin.scopes.includes('self:manage')
}

/** What only the shop does, never a plugin for itself. */
export function mayAsShop(role: 'viewer' | 'editor' | 'admin'): boolean {
  return !session.isPlugin && session.may(role)
}
