import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { VariableUser } from '#modules/variable/index.ts'
import { isObject } from './definition.ts'
import { findUsers } from './users.ts'

/**
 * The flows that may read this variable of the shop, in their draft or in what is published.
 *
 * @param name of letters, digits and `_`
 */
export async function findVariableUsers(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  name: string,
): Promise<VariableUser[]> {
  const pattern = String.raw`variables\.${name}([^A-Za-z0-9_]|$)`
  const path = new RegExp(String.raw`\bvariables\.${name}(?![A-Za-z0-9_])`)
  const users = await findUsers(db, tenantId, [pattern], (definitions) =>
    definitions.some(({ value }) => mentions(value, path) && !hasOwn(value, name)) ? name : null,
  )
  return users.map(({ flow }) => flow)
}

function mentions(value: unknown, path: RegExp): boolean {
  if (typeof value === 'string') return path.test(value)
  if (Array.isArray(value)) return value.some((item) => mentions(item, path))
  if (!isObject(value)) return false
  return Object.entries(value).some(([name, member]) => path.test(name) || mentions(member, path))
}

/** A flow's own variable of that name goes before the shop's. */
function hasOwn(definition: Record<string, unknown>, name: string): boolean {
  const inner = isObject(definition['flow_definition']) ? definition['flow_definition'] : definition
  const own = inner['variables'] ?? definition['variables']
  return isObject(own) && Object.hasOwn(own, name)
}
