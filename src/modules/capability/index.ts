/**
 * Capability manifests: what a plugin can do in automations, in its own words: triggers, actions, conditions.
 *
 * Owns `plugin_capabilities`. What always holds:
 *
 * - A manifest counts as a whole or not at all: its event types, its actions and itself change in one transaction.
 *   The last accepted one stays until a better one comes.
 * - Event types of triggers that nobody else has are the plugin's own, which its key may publish. Those of the platform,
 *   the shop and other plugins stay theirs: it only offers what they start.
 * - A manifest that was pushed is never replaced by the background; one that was fetched is looked at about every
 *   hour, ever more seldom while that fails, by one worker at a time, and not while the plugin is paused.
 * - Nobody's database connection waits for a plugin.
 */
import type { FastifyInstance } from 'fastify'
import { JobLoop } from '#lib/async/job-loop.ts'
import { readActionsVersion } from '#infra/tenant-versions.ts'
import { VersionCache } from '#modules/registry/index.ts'
import type { CapabilityContext } from './context.ts'
import { type CapabilitySnapshot, loadCapabilitySnapshot } from './merged.ts'
import { runRefreshPass } from './refresh.ts'
import { capabilityRoutes } from './routes.ts'
import { NAMED } from './schemas.ts'
import { createShapeCheck } from './shape.ts'

export type { Manifest } from './manifest.ts'
export { runRefreshPass } from './refresh.ts'

/** Bytes of JSON text; in memory it takes some times as much. */
const CACHE_MAX_BYTES = 32 * 1024 * 1024
/** One statement each time: nobody waits for a look that is due by the hour. */
const POLL_MS = 15_000

export default async function capabilityModule(app: FastifyInstance): Promise<void> {
  app.apiDocument.addTag('capabilities', 'What plugins bring to automations: triggers, actions, conditions')
  for (const schema of NAMED) app.addSchema(schema)
  const { egress, deliveries, registry } = app
  const checkShape = createShapeCheck()
  const cache = new VersionCache<CapabilitySnapshot>({
    readVersion: (tenantId) => readActionsVersion(app.db, tenantId),
    load: (tenantId) => loadCapabilitySnapshot(app.db, tenantId),
    maxWeight: CACHE_MAX_BYTES,
  })
  await app.register(async (routes) =>
    capabilityRoutes(routes, {
      ctx: { db: app.db, egress, deliveries, checkShape },
      cache,
      actionsOf: (tenantId) => registry.actions(tenantId),
      breaksOf: (tenantId, plugin, change) => registry.breaksOf(tenantId, plugin, change),
    }),
  )

  const ctx: CapabilityContext = { db: app.workerDb, egress, deliveries, checkShape }
  const loop = new JobLoop({
    pass: async () => runRefreshPass(ctx),
    intervalMs: () => POLL_MS,
    onError: (error) =>
      app.log.warn({ err: error }, 'capabilities: stopped for now, it goes on at the next look'),
  })
  app.background({
    name: 'capabilities',
    start: () => loop.start(),
    stop: () => loop.stop(),
    probe: () => loop.standing,
    whenStuck: 'warning',
  })
}
