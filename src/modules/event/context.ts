import type { FastifyBaseLogger } from 'fastify'
import type { Transaction } from 'kysely'
import type { DB, EventSource } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { Problem } from '#lib/api/problem.ts'
import type { Causation } from './intake/causation.ts'

/** The owner of the key or session that an event came with. */
export type Sender = Pick<Actor, 'kind' | 'id' | 'session'>

/** Something that happened, as it comes in: from a request, from the platform or from this service itself. */
export interface NewEvent {
  tenantId: string
  event: string
  /** An object; numbers may be RawNumbers of lib/json/index.ts and stay as they came. */
  data: unknown
  /** Unique among those of its publisher in the tenant: the same again is a duplicate, the same with other contents a conflict. */
  sourceId?: string | null
  /** RFC 3339. Null: now. */
  timestamp?: string | null
  source: EventSource
  /** Set for a plugin's own key, which publishes below segments of its plugin's own. */
  publisherPluginId?: string | null
  /** Its sender, if anybody from outside sends it. */
  sender?: Sender | null
  causation?: Causation | null
  /** The attributes of a CloudEvent, delivered beside its data. */
  cloudEvent?: Readonly<Record<string, unknown>> | undefined
  /** A plugin that does not get it, whatever it subscribes to: the one that it tells of. */
  exceptPluginId?: string
  /** Of the service's own: a tenant that has so many of the type within the hour gets no more. Default: no limit. */
  mostPerHour?: number
}

export interface StoredEvent {
  status: 'accepted' | 'duplicate'
  id: string
  event: string
  /** Number of plugins that it goes to. */
  deliveries: number
}

export type IntakeResult = StoredEvent | { status: 'rejected'; problem: Problem }

export interface EventService {
  /**
   * Stores events and their deliveries; one result for each, in order. What it resolves with is committed, all of
   * one call's events by one transaction.
   *
   * @param log told what was created, never with the data
   * @throws the problems `overloaded` and `database_unavailable`; nothing is known to be stored then
   */
  accept(events: readonly NewEvent[], log?: FastifyBaseLogger): Promise<IntakeResult[]>
  /**
   * Stores one event of the service's own in the caller's transaction, without asking its type's schema.
   *
   * @returns the plugins that have a new delivery: publish them as `deliveries_due` after the commit
   */
  emitIn(trx: Transaction<DB>, event: NewEvent): Promise<string[]>
}
