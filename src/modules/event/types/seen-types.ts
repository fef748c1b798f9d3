import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { shapeOf } from '#lib/schema/sample-shape.ts'
import type { MatchedEvent } from '../intake/match.ts'
import { MAX_SEEN_TYPES } from '../intake/snapshot.ts'
import { insertSeenTypes } from './seen-repository.ts'

/**
 * Puts types that nobody has declared into their tenants' catalogues, each with the shape of its first event's data.
 *
 * It runs behind the statement that stores events, once for each type, tenant and process: nobody else's events wait
 * for it. An event that was acknowledged is stored whatever becomes of this; a type that could not be written is
 * tried again when the tenant's snapshot has been read anew.
 */
export async function recordSeenTypes(
  ctx: { db: Kysely<DB>; log: Pick<FastifyBaseLogger, 'warn'> },
  events: readonly MatchedEvent[],
): Promise<void> {
  try {
    const types = events.map(({ composed: { tenantId, event, data, publisherPluginId } }) => ({
      tenant_id: tenantId,
      name: event,
      sample: shapeOf(data as Record<string, unknown>),
      plugin_id: publisherPluginId,
    }))
    await insertSeenTypes(ctx.db, types, MAX_SEEN_TYPES)
  } catch (error) {
    ctx.log.warn({ err: error }, 'event types that were seen could not be put into the catalogue')
  }
}
