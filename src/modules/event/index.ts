/**
 * Events: intake, catalogue and feed.
 *
 * Owns `events`, `event_types` and `feed_epochs`, and inserts `deliveries`. What always holds:
 *
 * - An event and one delivery for each plugin that is subscribed to it are one transaction, and nobody is told of an
 *   event before its commit.
 * - A plugin whose registration was answered before an event was sent gets it, on any replica (event-writer.ts).
 * - A source id stands for one event of its tenant.
 * - The body is text that is decided once, in compose.ts.
 * - The feed never shows an event behind a cursor that it gave out (feed.ts).
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { emitEvent } from './emit.ts'
import { ensureFeedEpoch } from './feed-epoch.ts'
import { Intake } from './intake.ts'
import { intakeRoutes } from './intake-routes.ts'
import {
  AcceptedEvent,
  AutomationWebhook,
  CloudEvent,
  EventBatchInput,
  EventBatchResult,
  EventInput,
} from './intake-schemas.ts'
import type { EventService } from './types.ts'

export type { EventService, IntakeResult, NewEvent, StoredEvent } from './types.ts'

const SCHEMAS = [AcceptedEvent, AutomationWebhook, CloudEvent, EventInput, EventBatchInput, EventBatchResult]

declare module 'fastify' {
  interface FastifyInstance {
    events: EventService
  }
}

export default fp(
  async (app: FastifyInstance) => {
    let epoch: Promise<void> | null = null
    const ready = (): Promise<void> =>
      (epoch ??= ensureFeedEpoch(app.db).catch((error: unknown) => {
        epoch = null
        throw error
      }))
    app.addHook('onReady', ready)
    const intake = new Intake({
      db: app.db,
      pool: app.pools.api,
      signals: app.signals,
      ready,
      count: (result, source) => app.metrics.intakeEvents.inc({ result, source }),
    })
    const events: EventService = {
      accept: (events, log = app.log) => intake.accept(events, log),
      emitIn: async (trx, event) => {
        await ready()
        return emitEvent(trx, event)
      },
    }
    app.decorate('events', events)
    for (const schema of SCHEMAS) app.addSchema(schema)
    await app.register(intakeRoutes, { events })
  },
  { name: 'events', dependencies: ['db', 'signals', 'metrics', 'auth'] },
)
