import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { VariableUser } from '#modules/variable/index.ts'
import { isObject, parseDefinition } from './definition.ts'
import { selectNaming } from './repository.ts'

const FLOWS_MAX = 200

/** The flows that may read this variable of the shop, in their draft or in what is published. */
export async function findVariableUsers(
  db: Kysely<DB>,
  tenantId: string,
  name: string,
): Promise<VariableUser[]> {
  const flows = await selectNaming(db, tenantId, [`variables.${name}`], FLOWS_MAX)
  return flows
    .filter(({ definition, published }) => [definition, published].some((text) => reads(text, name)))
    .map(({ id, name: called, status }) => ({ id, name: called, status }))
}

/** @param name of letters, digits and `_`. A flow's own variable of that name goes before the shop's. */
function reads(text: string | null, name: string): boolean {
  if (text === null || !new RegExp(`\\bvariables\\.${name}(?![A-Za-z0-9_])`).test(text)) return false
  const { value } = parseDefinition(text)
  const inner = isObject(value['flow_definition']) ? value['flow_definition'] : value
  const own = inner['variables'] ?? value['variables']
  return !(isObject(own) && Object.hasOwn(own, name))
}
