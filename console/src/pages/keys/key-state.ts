import type { Schema } from '../../api/client.ts'

/** Tells whether a key still opens anything, as kit/status.ts knows it. */
export function stateOf(key: Pick<Schema['ApiKey'], 'revoked_at' | 'expires_at'>): string {
  if (key.revoked_at !== null) return 'revoked'
  return key.expires_at !== null && Date.parse(key.expires_at) <= Date.now() ? 'expired' : 'active'
}
