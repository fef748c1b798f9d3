import { type Actor, SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import { type FieldError, Problem } from '#lib/api/problem.ts'
import { pluginNotFound } from '#modules/plugin/index.ts'
import { withPlugin } from '#modules/registry/index.ts'
import { secretUnreadable } from '#modules/webhook-delivery/index.ts'
import type { CapabilityContext } from './context.ts'
import { capabilitiesUnavailable, manifestInvalid } from './errors.ts'
import { type Fetched, fetchManifest } from './fetch.ts'
import {
  type CapabilityRow,
  type Claim,
  claimDue,
  findCapabilities,
  findPluginId,
  saveFailure,
  saveUnchanged,
} from './repository.ts'
import { applyManifest, type CapabilityUpdate, viewCapabilities } from './service.ts'

const HOUR_MS = 3_600_000
/** The interval in which a fetched manifest is looked at again. */
const CHECK_INTERVAL_MS = HOUR_MS
const MAX_BACKOFF_MS = 24 * HOUR_MS
/** Plugins that were fetched together are not fetched together again. */
const JITTER = 0.1
/** Of one pass; all of them are asked at once. */
const BATCH_SIZE = 10
/** Much longer than a fetch may take: when it is over, the worker that held the claim is gone. */
const CLAIM_LEASE_MS = 60_000
const ERROR_MAX_CHARS = 500

/**
 * Asks the plugin for its manifest now, and from now on at intervals.
 * @throws `plugin_not_found`, `capabilities_unavailable`, `manifest_invalid`, `too_many_actions`
 */
export async function refreshCapabilities(
  ctx: CapabilityContext,
  actor: Actor,
  tenantId: string,
  slug: string,
): Promise<CapabilityUpdate> {
  const pluginId = await findPluginId(ctx.db, tenantId, slug)
  if (pluginId === undefined || (actor.pluginId !== null && actor.pluginId !== pluginId))
    throw pluginNotFound()
  return lookAt(ctx, actor, { tenantId, pluginId, claim: null })
}

/** Looks at the manifests that are due. A plugin's faults are in its row; only the database can fail this. */
export async function runRefreshPass(ctx: CapabilityContext): Promise<PassResult> {
  const due = await claimDue(ctx.db, BATCH_SIZE, CLAIM_LEASE_MS)
  await Promise.all(
    due.map(async (claim) => {
      try {
        await lookAt(ctx, SYSTEM_ACTOR, claim)
      } catch (error) {
        if (!(error instanceof Problem) || error.status === 503) throw error
      }
    }),
  )
  return due.length === BATCH_SIZE ? 'more' : 'idle'
}

async function lookAt(ctx: CapabilityContext, actor: Actor, claim: Claim): Promise<CapabilityUpdate> {
  const { tenantId, pluginId } = claim
  const target = await ctx.deliveries.target(tenantId, pluginId)
  if (target === undefined) throw pluginNotFound()
  if (target === 'unreadable') throw secretUnreadable()
  const row = await findCapabilities(ctx.db, tenantId, pluginId)
  const knownEtag = row?.origin === 'fetched' && row.manifest !== null ? row.etag : null
  const fetched = await fetchManifest(ctx, target, knownEtag)
  switch (fetched.kind) {
    case 'manifest':
      return take(ctx, actor, claim, target.slug, fetched, row)
    case 'unchanged': {
      await saveUnchanged(ctx.db, claim, spread(CHECK_INTERVAL_MS))
      const now = await findCapabilities(ctx.db, tenantId, pluginId)
      return { ...NO_DIFFERENCE, capabilities: viewCapabilities({ id: pluginId, slug: target.slug }, now) }
    }
    case 'invalid':
      await fail(ctx, claim, row, describe(fetched.errors))
      throw manifestInvalid(undefined, { errors: fetched.errors })
    case 'failed': {
      await fail(ctx, claim, row, `${fetched.reason}: ${fetched.detail}`)
      throw capabilitiesUnavailable(fetched.detail, { extensions: { reason: fetched.reason } })
    }
  }
}

async function take(
  ctx: CapabilityContext,
  actor: Actor,
  claim: Claim,
  slug: string,
  { manifest, etag }: Extract<Fetched, { kind: 'manifest' }>,
  row: CapabilityRow | undefined,
): Promise<CapabilityUpdate> {
  const { tenantId, pluginId } = claim
  const source = { origin: 'fetched' as const, etag, nextCheckMs: spread(CHECK_INTERVAL_MS) }
  try {
    // The plugin that was asked, not one that has its slug by now.
    return await withPlugin(ctx, { ...actor, pluginId }, tenantId, slug, async (trx, plugin) => {
      const current = claim.claim === null ? undefined : await findCapabilities(trx, tenantId, pluginId)
      // Meanwhile the author has pushed one, or somebody else has looked: theirs is newer.
      if (current !== undefined && current.claim !== claim.claim) {
        return { ...NO_DIFFERENCE, capabilities: viewCapabilities(plugin, current) }
      }
      return applyManifest(trx, actor, tenantId, plugin, manifest, source)
    })
  } catch (error) {
    if (error instanceof Problem && error.status < 500 && error.status !== 404) {
      await fail(ctx, claim, row, error.errors === undefined ? error.message : describe(error.errors))
    }
    throw error
  }
}

const NO_NAMES = { triggers: [], actions: [], conditions: [] }
const NO_DIFFERENCE = { added: NO_NAMES, changed: NO_NAMES, removed: NO_NAMES }

async function fail(
  ctx: CapabilityContext,
  claim: Claim,
  row: CapabilityRow | undefined,
  error: string,
): Promise<void> {
  const delayMs = Math.min(CHECK_INTERVAL_MS * 2 ** (row?.consecutive_failures ?? 0), MAX_BACKOFF_MS)
  await saveFailure(ctx.db, claim, error.slice(0, ERROR_MAX_CHARS), spread(delayMs))
}

function describe(errors: readonly FieldError[]): string {
  return `manifest_invalid: ${errors.map(({ pointer, detail }) => `${pointer || 'document'} ${detail}`).join('; ')}`
}

function spread(ms: number): number {
  return Math.round(ms * (1 - JITTER + 2 * JITTER * Math.random()))
}
