import { CompiledQuery, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { composeEvent } from './compose.ts'
import { writeEvents } from './write-repository.ts'
import { coalescedOf, isProblem, orderingKeysOf, recipientsOf } from './match.ts'
import type { TenantSnapshot } from './snapshot.ts'
import { loadSnapshot } from './snapshot-repository.ts'
import { hasMany } from './rate-repository.ts'
import type { NewEvent } from '../context.ts'

/** Alerts of one type that a tenant gets in an hour: what is wrong with thousands of plugins at once is one thing. */
export const ALERTS_PER_HOUR = 500

/** Subscriptions that change between the look at them and the write, so often in a row, are a fault. */
const MAX_WRITES = 10

/**
 * Writes one event of the service's own in the caller's transaction. The remembered snapshot is tried first (reading
 * one of 5,000 plugins takes 60 ms). If it is out of date, the transaction reads its own: what it has changed itself
 * counts, and must not get into the cache before its commit.
 *
 * @returns the plugins that have a new delivery
 */
export async function emitEvent(
  trx: Transaction<DB>,
  event: NewEvent,
  remembered: TenantSnapshot,
): Promise<string[]> {
  if (event.mostPerHour !== undefined && (await hasMany(trx, event, event.mostPerHour))) return []
  const composed = composeEvent(event)
  if (isProblem(composed)) throw composed
  let snapshot = remembered
  for (let attempt = 0; attempt < MAX_WRITES; attempt++) {
    const found = recipientsOf(snapshot, composed)
    const audience = { ...found, plugins: found.plugins.filter((id) => id !== event.exceptPluginId) }
    const orderingKeys = orderingKeysOf(snapshot, composed, audience.plugins)
    const coalesced = coalescedOf(audience, composed)
    const { holds, ids } = await writeEvents(
      async (text, values) => (await trx.executeQuery(CompiledQuery.raw(text, [...values]))).rows,
      [{ composed, snapshot, ...audience, orderingKeys, coalesced, known: true, schemaProblems: null }],
    )
    if (holds) return ids === null ? [...audience.plugins] : []
    snapshot = await loadSnapshot(trx, event.tenantId)
  }
  throw new Error('the subscriptions change faster than an event can be written')
}
