/**
 * Events: intake, catalogue and feed.
 *
 * Owns `events`, `event_types`, `event_segments`, `seen_event_types` and `feed_epochs`, and inserts `deliveries`. What always holds:
 *
 * - An event and one delivery for each plugin that is subscribed to it are one transaction, and nobody is told of an
 *   event before its commit.
 * - A plugin whose registration was answered before an event was sent gets it, on any replica (intake/write-repository.ts).
 * - A source id stands for one event of its publisher in its tenant.
 * - The body is text that is decided once, in compose.ts.
 * - A type that nobody has declared is put into its tenant's catalogue after its first event is stored, not for it:
 *   that this fails costs no event (seen-types.ts).
 * - The feed never shows an event behind a cursor that it gave out (feed.ts).
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { isPassing } from '#db/errors.ts'
import { emitEvent } from './intake/emit.ts'
import { eventRoutes } from './feed/routes.ts'
import { FEED_SCHEMAS } from './feed/schemas.ts'
import { TimelineWatch } from './feed/timeline-watch.ts'
import { IntakeLog } from './intake/log.ts'
import { Intake } from './intake/intake.ts'
import { intakeRoutes } from './intake/routes.ts'
import { INTAKE_SCHEMAS } from './intake/schemas.ts'
import { recordSeenTypes } from './types/seen-types.ts'
import { typeRoutes } from './types/routes.ts'
import { TYPE_SCHEMAS } from './types/schemas.ts'
import { segmentRoutes } from './segments/routes.ts'
import { SEGMENT_SCHEMAS } from './segments/schemas.ts'
import { claimSegment } from './segments/service.ts'
import type { EventService } from './context.ts'

export { ALERTS, causationOfAlert, isAlert } from './alerts.ts'
export { CATALOGUE, ENTITIES } from './catalogue/index.ts'
export {
  believedCausation,
  CAUSATION_DEPTH_HEADER,
  CAUSATION_ID_HEADER,
  CAUSATION_TOKEN_HEADER,
  causationToken,
  MAX_CAUSATION_DEPTH,
  readCausationHeaders,
} from './intake/causation.ts'
export { deliveryView, isCoalescing } from './feed/delivery-repository.ts'
export { eventBodyGone, eventNotFound, eventTypeNotFound } from './errors.ts'
export { bodyToSend } from './intake/payload.ts'
export { ALERTS_PER_HOUR } from './intake/emit.ts'
export { isSubscribed } from './intake/snapshot.ts'
export { type PluginType, removePluginTypes, replacePluginTypes } from './types/plugin-types.ts'
export { pluginNamed, typesOf } from './feed/lookup-repository.ts'
export { type EventRow, scanFeed, type ScannedEvent, selectEvents } from './feed/repository.ts'
export type { EventService, NewEvent } from './context.ts'
export { loadSegments } from './segments/repository.ts'
export type { Segments } from './segments/segments.ts'
export { pastEvent, sampleOfType, subscriptionWarnings, type TrialEvent } from './feed/subscription-trial.ts'
export { type OverallStatus, placeAgain, queueAgain, selectOverallStatus } from './feed/resend-repository.ts'

declare module 'fastify' {
  interface FastifyInstance {
    events: EventService
  }
}

export default fp(
  async (app: FastifyInstance) => {
    const watch = new TimelineWatch({ db: app.db, log: app.log, registry: app.metrics.registry })
    const ready = onceItSucceeds(() => watch.look())
    app.background({
      name: 'timeline',
      everywhere: true,
      start: async () => {
        watch.start()
        try {
          await ready()
        } catch (error) {
          if (!isPassing(error)) throw error
          app.log.warn(
            { err: (error as Error).message },
            'events: no database that takes writes yet, intake starts when it is there',
          )
        }
      },
      stop: () => watch.stop(),
      probe: () => watch.standing,
      whenStuck: 'warning',
    })
    const intake = new Intake({
      db: app.db,
      pool: app.pools.api,
      signals: app.signals,
      ready,
      count: (result, source) => app.metrics.intakeEvents.inc({ result, source }),
      log: new IntakeLog(app.log),
      quotas: app.quotas,
      claim: (wanted) => claimSegment(app.db, wanted),
      acknowledged: (tenantId, id) => watch.acknowledged(tenantId, id),
      changes: app.changes,
      recordSeen: (events) => recordSeenTypes({ db: app.db, log: app.log }, events),
    })
    const events: EventService = {
      accept: (events, log = app.log) => intake.accept(events, log),
      emitIn: async (trx, event) => {
        await ready()
        return emitEvent(trx, event, await intake.snapshot(event.tenantId))
      },
    }
    app.apiDocument.addTag('events', 'Intake, the feed and the catalogue of event types')
    app.decorate('events', events)
    for (const schema of [...INTAKE_SCHEMAS, ...FEED_SCHEMAS, ...TYPE_SCHEMAS, ...SEGMENT_SCHEMAS]) {
      app.addSchema(schema)
    }
    await app.register(async (routes) => intakeRoutes(routes, { events, secretBox: app.secretBox }))
    await app.register(async (routes) => eventRoutes(routes, { db: app.db, signals: app.signals }))
    await app.register(async (routes) => typeRoutes(routes, { db: app.db }))
    await app.register(async (routes) => segmentRoutes(routes, { db: app.db }))
  },
  { name: 'events', dependencies: ['db', 'signals', 'metrics', 'background', 'auth', 'quotas', 'secrets'] },
)

/** Shares one success; a failure is everybody's who waits for it, and the next caller tries again. */
function onceItSucceeds(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | null = null
  return () =>
    (done ??= work().catch((error: unknown) => {
      done = null
      throw error
    }))
}
