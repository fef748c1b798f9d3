import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

export type TargetRow = Awaited<ReturnType<typeof selectTargets>>[number]

export interface SealedSecret {
  id: string
  /** In base64. */
  sealed: string
  expires_at: string | null
}

/** These plugins' settings for requests to them, with the secrets that have not expired, the current one first. */
export async function selectTargets(
  db: Kysely<DB>,
  plugins: readonly { tenantId: string; pluginId: string }[],
) {
  return db
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
      'p.client_certificate_sealed',
      'p.retry_schedule',
      'p.timeout_ms',
      'p.rate_limit_per_second',
      'p.max_in_flight',
      'p.ordering',
      sql<boolean>`jsonb_path_exists(p.subscriptions, '$[*].coalesce')`.as('coalesces'),
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
}
