import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { percentile, REQUEST_BORDERS } from '#lib/histogram.ts'
import { subscriptionWarnings } from '#modules/event/index.ts'
import type { Plugin } from './answer-schemas.ts'
import { mayReadSecrets, type PluginContext } from './context.ts'
import { type PluginQueue, type PluginRow, selectAnswers, selectQueues } from './repository.ts'
import { toSettings } from './settings/sealed-settings.ts'
import { clientCertificateWarnings } from './settings/client-certificate.ts'
import type { Settings } from './settings/fields.ts'
import { type Changes, effectiveSettings, showSettings, urlsOf } from './settings/settings.ts'
import { openSecret } from './secrets/open-secret.ts'
import { listLiveSecrets, type SecretRow } from './secrets/repository.ts'

/** Counting further would tell nobody more, and read a backlog of millions to the end. */
const MAX_WAITING_COUNTED = 10_000
/** The same, of each one in a list, which may have 200. */
const MAX_WAITING_LISTED = 100
/** A plugin of which half of the answers took so long in the last minutes is shown as slow: lanes have a measure of their own. */
const SLOW_MS = 2_000
const ANSWERS_MINUTES = 5

/** Plugins as this actor may see them. */
export async function viewPlugins(
  ctx: PluginContext,
  actor: Actor,
  tenantId: string,
  rows: readonly PluginRow[],
): Promise<Plugin[]> {
  const ids = rows.map((row) => row.id)
  const secrets = Map.groupBy(await listLiveSecrets(ctx.db, tenantId, ids), (secret) => secret.plugin_id)
  const loads = await loadsOf(ctx.db, tenantId, ids, MAX_WAITING_LISTED)
  return rows.map((row) => viewPlugin(ctx, actor, row, secrets.get(row.id) ?? [], loads.get(row.id)))
}

/** One plugin, with how many of its deliveries wait. */
export async function viewOnePlugin(
  ctx: PluginContext,
  db: Kysely<DB>,
  actor: Actor,
  row: PluginRow,
): Promise<Plugin> {
  const secrets = await listLiveSecrets(db, row.tenant_id, [row.id])
  const loads = await loadsOf(db, row.tenant_id, [row.id], MAX_WAITING_COUNTED)
  return viewPlugin(ctx, actor, row, secrets, loads.get(row.id))
}

/** Returns what to add to the answer to a change; nothing if there is nothing to warn of. */
export async function warningsOf(
  ctx: PluginContext,
  tenantId: string,
  settings: Settings,
): Promise<Pick<Plugin, 'warnings'>> {
  const { events, client_certificate: certificate } = settings
  const warnings = [
    ...(await subscriptionWarnings(ctx.db, tenantId, events)),
    ...(certificate === null ? [] : clientCertificateWarnings(certificate, urlsOf(settings as Changes))),
  ]
  return warnings.length === 0 ? {} : { warnings }
}

/** A secret without its value. */
export function viewSecret({ id, created_at, expires_at }: SecretRow): Plugin['secrets'][number] {
  return { id, created_at, expires_at }
}

/** The deliveries that wait for a plugin, and how fast it answers. */
interface Load {
  queue: PluginQueue
  answerMs: number | null
}

async function loadsOf(
  db: Kysely<DB>,
  tenantId: string,
  ids: readonly string[],
  max: number,
): Promise<ReadonlyMap<string, Load>> {
  if (ids.length === 0) return new Map()
  const queues = await selectQueues(db, tenantId, ids, max)
  const answers = await selectAnswers(db, tenantId, ids, ANSWERS_MINUTES)
  const latency = new Map(answers.map((each) => [each.id, each.latency]))
  return new Map(
    queues.map((queue) => [
      queue.id,
      { queue, answerMs: percentile(REQUEST_BORDERS, latency.get(queue.id) ?? [], 0.5) },
    ]),
  )
}

function viewPlugin(
  ctx: PluginContext,
  actor: Actor,
  row: PluginRow,
  secrets: readonly SecretRow[],
  load: Load | undefined,
): Plugin {
  const { settings, unreadable } = toSettings(ctx.secretBox, row)
  const current = secrets.find((secret) => secret.expires_at === null)
  const lost: NonNullable<Plugin['unreadable']> = [...unreadable]
  if (current !== undefined && openSecret(ctx.secretBox, row.tenant_id, current) === null) lost.push('secret')
  return {
    ...showSettings(settings, mayReadSecrets(actor, row.id)),
    id: row.id,
    slug: row.slug,
    status: row.status,
    status_reason: row.status_reason,
    effective: effectiveSettings(settings, ctx.defaults),
    health: viewHealth(row, load?.answerMs ?? null),
    waiting: load?.queue.waiting ?? 0,
    oldest_due_at: load?.queue.oldest_due_at ?? null,
    secrets: secrets.map(viewSecret),
    ...(lost.length > 0 && { unreadable: lost }),
    revision: row.revision,
    created_at: row.created_at,
    updated_at: row.updated_at,
  }
}

function viewHealth(row: PluginRow, answerMs: number | null): Plugin['health'] {
  const failures = row.consecutive_failures ?? 0
  return {
    state: stateOf(row, answerMs),
    answer_ms: answerMs,
    consecutive_failures: failures,
    failing_since: row.failing_since,
    last_success_at: row.last_success_at,
    last_failure_at: row.last_failure_at,
    last_error_class: row.last_error_class,
    breaker: row.breaker_state ?? 'closed',
    hold_until: row.hold_until,
    hold_reason: row.hold_until === null ? null : (row.hold_reason ?? 'rate_limit'),
    key_held_since: row.key_held_since,
  }
}

function stateOf(row: PluginRow, answerMs: number | null): Plugin['health']['state'] {
  if ((row.consecutive_failures ?? 0) > 0) return 'failing'
  if (row.last_success_at === null) return 'unknown'
  return answerMs !== null && answerMs >= SLOW_MS ? 'slow' : 'healthy'
}
