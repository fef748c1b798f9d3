/**
 * Plugins: the third-party services that a shop has connected.
 *
 * - A slug names one live plugin of a tenant, and never changes. A deleted plugin's row stays for the deliveries
 *   that name it, without its secrets; the slug is free again.
 * - `config`, `headers`, signing secrets and client certificates are sealed in the database, bound to their row. A
 *   signing secret is shown once, when it is made, a certificate's key never; `config` and `headers` are shown to admins
 *   and to the plugin if it may change itself.
 * - Every change raises `revision` and is in the audit log with the names of what changed, and the values before and after
 *   but for those of sealed fields, of filters, `metadata` and `description`: erasures do not go through the audit log.
 * - A change of what intake matches against (subscriptions, existence) makes it match anew, one of what the registry
 *   shows (existence, status) makes that read again: both by infra/tenant-versions.ts, in the same transaction.
 * - The lane is made with the plugin. Here it is only reset (resume, another webhook_url, deletion), always with
 *   a raised `health_version`; everything else in it is the delivery worker's.
 */
import type { FastifyInstance } from 'fastify'
import type { Config } from '#config/config.ts'
import { Plugin, PluginPage, RegisteredPlugin, RotatedSecret, TestResult } from './answer-schemas.ts'
import type { PluginContext } from './context.ts'
import { pluginOperationRoutes } from './lifecycle/operation-routes.ts'
import { pluginRoutes } from './routes.ts'
import { PluginInput, PluginPatch, PluginReplacement, Resumption, SecretRotation } from './schemas.ts'
import { Subscription } from './settings/subscription.ts'
import { SubscriptionTrial, SubscriptionTrialInput } from './subscriptions/schemas.ts'

export { pluginNotFound } from './errors.ts'
export { EXPIRY_WARNING_DAYS } from './settings/client-certificate.ts'

const NAMED = [
  Subscription,
  Plugin,
  PluginInput,
  PluginPage,
  PluginPatch,
  PluginReplacement,
  RegisteredPlugin,
  Resumption,
  RotatedSecret,
  SecretRotation,
  SubscriptionTrial,
  SubscriptionTrialInput,
  TestResult,
]

export default async function pluginModule(
  app: FastifyInstance,
  options: { config: Pick<Config, 'delivery'> },
): Promise<void> {
  app.apiDocument.addTag('plugins', 'What a shop has connected')
  for (const schema of NAMED) app.addSchema(schema)
  const { retrySchedule, timeoutMs, maxInFlightPerPlugin } = options.config.delivery
  const ctx: PluginContext = {
    db: app.db,
    secretBox: app.secretBox,
    signals: app.signals,
    changes: app.changes,
    egress: app.egress,
    deliveries: app.deliveries,
    defaults: { retrySchedule, timeoutMs, maxInFlight: maxInFlightPerPlugin },
  }
  await app.register(async (routes) => pluginRoutes(routes, ctx))
  await app.register(async (routes) => pluginOperationRoutes(routes, ctx))
}
