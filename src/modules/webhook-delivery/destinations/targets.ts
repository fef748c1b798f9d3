import { hash, X509Certificate } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { DB } from '#db/schema.ts'
import { readJson } from '#db/json.ts'
import type { ClientCertificate } from '#infra/egress/index.ts'
import { secretContext } from '#infra/secrets.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'
import { parseSecret } from '#lib/secrets/signature.ts'
import { selectTargets, type TargetRow } from './target-repository.ts'

/** A plugin as the receiver of requests: its settings with secrets opened, as of `revision`. */
export interface DeliveryTarget {
  pluginId: string
  tenantId: string
  slug: string
  revision: number
  active: boolean
  /** The URL of webhooks. */
  url: string
  /** The URL that endpoints of actions are below. */
  baseUrl: string
  /** The plugin's own request headers. */
  headers: Readonly<Record<string, string>>
  /** Presented to https servers that ask for one; null: the plugin has none. */
  clientCertificate: PresentedCertificate | null
  /** The current signing secret. */
  secretId: string | null
  /** Live signing keys, the current one first; `expiresAt` in epoch milliseconds. */
  keys: readonly { key: Buffer; expiresAt: number | null }[]
  /** Seconds after each failed attempt. */
  retrySchedule: readonly number[]
  timeoutMs: number
  ratePerSecond: number | null
  maxInFlight: number
  /** Deliveries of one key go out one at a time. */
  ordered: boolean
  /** Of what waits of some of its keys only the newest is sent. */
  coalesces: boolean
}

export interface PresentedCertificate extends ClientCertificate {
  /** SHA-256, as people know it. */
  fingerprint: string
}

/** The settings of a plugin that has none of its own. */
export interface DeliveryDefaults {
  timeoutMs: number
  retrySchedule: readonly number[]
  maxInFlightPerPlugin: number
  /** The most that a plugin may ask for. */
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

  /** Tells whether a plugin that `get` left out is there, but something that requests are sent by does not open. */
  isUnreadable(pluginId: string): boolean {
    return this.#unreadable.has(pluginId)
  }

  async #load(plugins: readonly { tenantId: string; pluginId: string }[]): Promise<void> {
    const rows = await selectTargets(this.#db, plugins)
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
          secretId: row.secrets?.[0]?.id ?? null,
          retrySchedule: row.retry_schedule ?? this.#defaults.retrySchedule,
          timeoutMs: row.timeout_ms ?? this.#defaults.timeoutMs,
          ratePerSecond: row.rate_limit_per_second,
          maxInFlight: Math.min(
            row.max_in_flight ?? this.#defaults.maxInFlightPerPlugin,
            this.#defaults.maxInFlightCeiling,
          ),
          ordered: row.ordering === 'key',
          coalesces: row.coalesces,
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
  #open(
    row: Pick<TargetRow, 'id' | 'tenant_id' | 'headers_sealed' | 'client_certificate_sealed' | 'secrets'>,
  ): Pick<DeliveryTarget, 'headers' | 'clientCertificate' | 'keys'> {
    const open = (sealed: Buffer, id: string, field: string): string =>
      this.#secretBox.open(sealed, secretContext(row.tenant_id, id, field))
    return {
      headers:
        row.headers_sealed === null
          ? {}
          : (readJson(open(row.headers_sealed, row.id, 'headers')) as Record<string, string>),
      clientCertificate:
        row.client_certificate_sealed === null
          ? null
          : presented(row, open(row.client_certificate_sealed, row.id, 'client_certificate')),
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

/** Another plugin's connections are never those of this one, whatever certificate both have. */
function presented(
  { tenant_id, id }: Pick<TargetRow, 'tenant_id' | 'id'>,
  opened: string,
): PresentedCertificate {
  const { certificate: chain, private_key: key } = readJson(opened) as Record<
    'certificate' | 'private_key',
    string
  >
  const { fingerprint256: fingerprint } = new X509Certificate(chain)
  return { id: `${tenant_id} ${id} ${hash('sha256', opened)}`, chain, key, fingerprint }
}

/** About how much memory a target takes: at most some 70 KB. */
function bytesOf({ url, baseUrl, headers, clientCertificate, keys, retrySchedule }: DeliveryTarget): number {
  const headerChars = Object.entries(headers).reduce(
    (sum, [name, value]) => sum + name.length + value.length,
    0,
  )
  const certificateChars =
    clientCertificate === null ? 0 : clientCertificate.chain.length + clientCertificate.key.length + 300
  return (
    TARGET_BYTES +
    url.length +
    baseUrl.length +
    headerChars +
    certificateChars +
    200 * keys.length +
    8 * retrySchedule.length
  )
}
