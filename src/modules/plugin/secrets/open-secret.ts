import { secretContext } from '#infra/secrets.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'
import type { SecretRow } from './repository.ts'

/** @returns null if it cannot be opened: sealed under a master key that is not configured, or changed since */
export function openSecret(box: SecretBox, tenantId: string, row: SecretRow): string | null {
  try {
    return box.open(row.sealed, secretContext(tenantId, row.id, 'secret'))
  } catch (error) {
    if (error instanceof SecretBoxError) return null
    throw error
  }
}
