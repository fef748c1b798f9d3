import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { ConnectionUser } from '#modules/connection/index.ts'
import { connectionsOf } from '../transfer/requirements.ts'
import { parseDefinition } from './definition.ts'
import { selectNaming } from './repository.ts'

const FLOWS_MAX = 200

/** The flows that name this connection, in their draft or in what is published. */
export async function findConnectionUsers(
  db: Kysely<DB>,
  tenantId: string,
  name: string,
): Promise<ConnectionUser[]> {
  const flows = await selectNaming(db, tenantId, [`"${name}"`], FLOWS_MAX)
  return flows
    .filter(({ definition, published }) =>
      [definition, published].some(
        (text) => text !== null && connectionsOf(parseDefinition(text).value).includes(name),
      ),
    )
    .map(({ id, name: called, status }) => ({ id, name: called, status }))
}
