import type { FastifyBaseLogger } from 'fastify'
import { type Kysely, sql } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { DB } from '#db/schema.ts'
import { readJson } from '#db/json.ts'
import { secretContext } from '#infra/secrets.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'
import { parseSecret } from '#lib/secrets/signature.ts'
import type { DeliveryTarget } from './attempt.ts'

/** What a plugin that says nothing of its own gets. */
export interface DeliveryDefaults {
  timeoutMs: number
  retrySchedule: readonly number[]
  maxInFlightPerPlugin: number
  /** What a plugin may ask for. */
  maxInFlightCeiling: number
}

const CACHE_MAX_BYTES = 32 * 1024 * 1024
const TARGET_BYTES = 1_000

/** Plugins as targets of deliveries, secrets opened; one is loaded again when its revision has moved on. */
export class TargetCache {
  readonly #targets = new LRUCache<string, DeliveryTarget>({
    maxSize: CACHE_MAX_BYTES,
    sizeCalculation: bytesOf,
  })
  /** Plugins that did not open when they were last loaded, with their revision then. */
  readonly #unreadable = new Map<string, number>()
  readonly #db: Kysely<DB>
  readonly #secretBox: SecretBox
  readonly #defaults: DeliveryDefaults
  readonly #log: FastifyBaseLogger

  constructor(db: Kysely<DB>, secretBox: SecretBox, defaults: DeliveryDefaults, log: FastifyBaseLogger) {
    this.#log = log
    this.#db = db
    this.#secretBox = secretBox
    this.#defaults = defaults
  }

  /**
   * The targets of these plugins at (or after) these revisions. Missing from the answer: a deleted plugin, and one
   * whose secrets do not open (`isUnreadable`), which is logged and must not be in the way of the others.
   */
  async get(
    wanted: readonly { tenantId: string; pluginId: string; revision: number }[],
  ): Promise<Map<string, DeliveryTarget>> {
    const stale = wanted.filter(
      ({ pluginId, revision }) => (this.#targets.get(pluginId)?.revision ?? -1) < revision,
    )
    if (stale.length > 0) await this.#load(stale)
    const found = wanted
      .map(({ pluginId }) => this.#targets.get(pluginId))
      .filter((target) => target !== undefined)
    return new Map(found.map((target) => [target.pluginId, target]))
  }

  /** Tells whether a plugin that `get` left out is there, but its current secret or its headers do not open. */
  isUnreadable(pluginId: string): boolean {
    return this.#unreadable.has(pluginId)
  }

  async #load(plugins: readonly { tenantId: string; pluginId: string }[]): Promise<void> {
    const rows = await this.#db
      .selectFrom('plugins as p')
      .select((eb) => [
        'p.id',
        'p.tenant_id',
        'p.slug',
        'p.revision',
        'p.status',
        'p.webhook_url',
        'p.base_url',
        'p.headers_sealed',
        'p.retry_schedule',
        'p.timeout_ms',
        'p.rate_limit_per_second',
        'p.max_in_flight',
        eb
          .selectFrom('plugin_secrets as s')
          .whereRef('s.plugin_id', '=', 'p.id')
          .whereRef('s.tenant_id', '=', 'p.tenant_id')
          .where((secret) =>
            secret.or([secret('s.expires_at', 'is', null), secret('s.expires_at', '>', sql<Date>`now()`)]),
          )
          .select(
            sql<
              SealedSecret[] | null
            >`json_agg(json_build_object('id', s.id, 'sealed', encode(s.sealed, 'base64'),
              'expires_at', s.expires_at) order by s.expires_at desc nulls first, s.id desc)`.as('secrets'),
          )
          .as('secrets'),
      ])
      .where('p.deleted_at', 'is', null)
      .where('p.tenant_id', 'in', [...new Set(plugins.map((plugin) => plugin.tenantId))])
      .where(
        'p.id',
        'in',
        plugins.map((plugin) => plugin.pluginId),
      )
      .execute()
    const reported = new Map(plugins.map(({ pluginId }) => [pluginId, this.#unreadable.get(pluginId)]))
    for (const { pluginId } of plugins) {
      this.#targets.delete(pluginId)
      this.#unreadable.delete(pluginId)
    }
    for (const row of rows) {
      try {
        this.#targets.set(row.id, {
          pluginId: row.id,
          tenantId: row.tenant_id,
          slug: row.slug,
          revision: row.revision,
          active: row.status === 'active',
          url: row.webhook_url,
          baseUrl: row.base_url,
          ...this.#open(row),
          retrySchedule: row.retry_schedule ?? this.#defaults.retrySchedule,
          timeoutMs: row.timeout_ms ?? this.#defaults.timeoutMs,
          ratePerSecond: row.rate_limit_per_second,
          maxInFlight: Math.min(
            row.max_in_flight ?? this.#defaults.maxInFlightPerPlugin,
            this.#defaults.maxInFlightCeiling,
          ),
        })
      } catch (error) {
        this.#unreadable.set(row.id, row.revision)
        // It is asked for again at every poll.
        if (reported.get(row.id) === row.revision) continue
        this.#log.error(
          { err: (error as Error).message, plugin_id: row.id },
          'secret_unreadable: a plugin cannot be opened with the master keys that are configured, its deliveries wait',
        )
      }
    }
  }

  /**
   * An older secret that does not open is left out: receivers know the current one since the rotation.
   * @throws {SecretBoxError} sealed under another master key, or changed
   */
  #open(row: SealedSettings): Pick<DeliveryTarget, 'headers' | 'keys'> {
    const open = (sealed: Buffer, id: string, field: string): string =>
      this.#secretBox.open(sealed, secretContext(row.tenant_id, id, field))
    return {
      headers:
        row.headers_sealed === null
          ? {}
          : (readJson(open(row.headers_sealed, row.id, 'headers')) as Record<string, string>),
      keys: (row.secrets ?? []).flatMap((secret) => {
        const expiresAt = secret.expires_at === null ? null : Date.parse(secret.expires_at)
        try {
          return [
            { key: parseSecret(open(Buffer.from(secret.sealed, 'base64'), secret.id, 'secret')), expiresAt },
          ]
        } catch (error) {
          if (expiresAt !== null && error instanceof SecretBoxError) return []
          throw error
        }
      }),
    }
  }
}

interface SealedSettings {
  id: string
  tenant_id: string
  headers_sealed: Buffer | null
  secrets: SealedSecret[] | null
}

interface SealedSecret {
  id: string
  sealed: string
  expires_at: string | null
}

/** About how much memory a target takes: at most some 20 KB. */
function bytesOf({ url, baseUrl, headers, keys, retrySchedule }: DeliveryTarget): number {
  const headerChars = Object.entries(headers).reduce(
    (sum, [name, value]) => sum + name.length + value.length,
    0,
  )
  return (
    TARGET_BYTES + url.length + baseUrl.length + headerChars + 200 * keys.length + 8 * retrySchedule.length
  )
}
