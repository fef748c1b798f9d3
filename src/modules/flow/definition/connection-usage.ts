import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { ConnectionUser } from '#modules/connection/index.ts'
import { connectionsOf } from '../transfer/requirements.ts'
import { findUsers, literally } from './users.ts'

/** The flows that name this connection, in their draft or in what is published. */
export async function findConnectionUsers(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  name: string,
): Promise<ConnectionUser[]> {
  const pattern = String.raw`"connection"\s*:\s*"${literally(name)}"`
  const users = await findUsers(db, tenantId, [pattern], (definitions) =>
    definitions.some(({ value }) => connectionsOf(value).includes(name)) ? name : null,
  )
  return users.map(({ flow }) => flow)
}
