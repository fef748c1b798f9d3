import type { Kysely, Transaction } from 'kysely'
import type { DB, FlowStatus } from '#db/schema.ts'
import { type Definition, parseDefinition } from './definition.ts'
import { selectMatching } from './repository.ts'

/** Flows of one answer at most: who takes away what more than that use knows enough. */
const USERS_MAX = 200
const PAGE_FLOWS = 100

export interface FlowUser {
  id: string
  name: string
  status: FlowStatus
}

/**
 * Finds the flows that use something, by id, with what is read of how.
 *
 * @param patterns in Postgres' syntax, of which the text of a definition that uses it has one
 * @param read of the draft and of what is published; null: it is not used
 */
export async function findUsers<Use>(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  patterns: readonly string[],
  read: (definitions: Definition[]) => Use | null,
): Promise<{ flow: FlowUser; use: Use }[]> {
  const users: { flow: FlowUser; use: Use }[] = []
  for (let after: string | null = null; ;) {
    const flows = await selectMatching(db, tenantId, patterns, { after, limit: PAGE_FLOWS })
    for (const { id, name, status, definition, published } of flows) {
      const texts = [definition, published].filter((text) => text !== null)
      const use = read(texts.map(parseDefinition))
      if (use !== null) users.push({ flow: { id, name, status }, use })
      if (users.length === USERS_MAX) return users
    }
    if (flows.length < PAGE_FLOWS) return users
    after = flows.at(-1)?.id ?? null
  }
}

/** A pattern of Postgres that finds the text itself. */
export function literally(text: string): string {
  return text.replace(/[^A-Za-z0-9_]/g, String.raw`\$&`)
}
