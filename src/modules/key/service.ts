import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import { type Actor, forbidden, tenantRequired } from '#infra/auth/auth.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import { enforceQuotas } from '#infra/quotas.ts'
import type { Signals } from '#infra/signals.ts'
import { now } from '#lib/clock.ts'
import { apiKeyPrefix, generateApiKey, hashApiKey } from '#lib/secrets/api-key.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { newId } from '#lib/ids.ts'
import { parseTime } from '#lib/time.ts'
import { keyNotFound } from './errors.ts'
import { insertKey, type KeyScope, lockPlugin, revokeKeyRow, selectKey, selectKeys } from './repository.ts'
import type { ApiKey, ApiKeyWithSecret, NewApiKey, KeyQuery } from './schemas.ts'

export interface KeyContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
}

/** The answer is the only place where the key itself ever appears. */
export async function createKey(
  ctx: KeyContext,
  actor: Actor,
  scope: KeyScope,
  input: NewApiKey,
): Promise<ApiKeyWithSecret> {
  checkInput(actor, scope, input)
  const { name, kind } = input
  const key = generateApiKey()
  const id = newId()
  const created = await ctx.db.transaction().execute(async (trx) => {
    await insertKey(trx, {
      id,
      tenant_id: scope,
      kind,
      role: input.role ?? null,
      plugin_id: await pluginIdOf(trx, scope, input.plugin),
      name,
      prefix: apiKeyPrefix(key),
      hash: hashApiKey(key),
      expires_at: input.expires_at === undefined ? null : futureTime(input.expires_at),
    })
    if (scope !== null) await enforceQuotas(trx, scope, ['keys'])
    const row = await readKey({ ...ctx, db: trx }, scope, id)
    const { role, plugin, expires_at } = row
    await audit(trx, actor, {
      tenantId: scope,
      action: 'key.created',
      targetKind: 'key',
      targetId: id,
      detail: { name, kind, role, plugin, expires_at },
    })
    return row
  })
  return { ...created, key }
}

export async function listKeys(
  ctx: KeyContext,
  scope: KeyScope,
  query: KeyQuery,
): Promise<{ data: ApiKey[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const rows = await selectKeys(ctx.db, scope, {
    status: query.status ?? null,
    before: before as string | null,
    limit: query.limit + 1,
  })
  return page(rows, query.limit, (row) => [row.id])
}

export async function readKey(ctx: KeyContext, scope: KeyScope, id: string): Promise<ApiKey> {
  const row = await selectKey(ctx.db, scope, id)
  if (row === undefined) throw keyNotFound()
  return row
}

/** Ends the key on every replica at once; a key that was revoked before stays as it was. */
export async function revokeKey(ctx: KeyContext, actor: Actor, scope: KeyScope, id: string): Promise<void> {
  const isNew = await ctx.db.transaction().execute(async (trx) => {
    const revoked = await revokeKeyRow(trx, scope, id)
    if (revoked === undefined) {
      await readKey({ ...ctx, db: trx }, scope, id)
      return false
    }
    await audit(trx, actor, {
      tenantId: scope,
      action: 'key.revoked',
      targetKind: 'key',
      targetId: id,
      detail: revoked,
    })
    return true
  })
  if (isNew) ctx.signals.publish('key_changed', [id])
}

/** Checks the rules that the schema cannot state: which members go with which kind, and who may make it. */
function checkInput(actor: Actor, scope: KeyScope, { kind, role, plugin }: NewApiKey): void {
  // It would outlive the link, by which a person can be shut out.
  if (actor.kind === 'portal') throw forbidden('Who came by a portal link makes no keys: that takes a key.')
  if (kind === 'platform') {
    if (actor.kind !== 'platform' && actor.kind !== 'operator') {
      throw forbidden('Only a platform key, or the command `npm run key`, makes platform keys.')
    }
    if (scope !== null) {
      throw invalidField('/kind', 'a platform key belongs to no tenant: leave X-Tenant-Id out')
    }
  } else if (scope === null) {
    throw tenantRequired()
  }
  if ((kind === 'tenant') !== (role !== undefined)) {
    throw invalidField('/role', kind === 'tenant' ? 'is required for a tenant key' : 'is of tenant keys only')
  }
  if ((kind === 'plugin') !== (plugin !== undefined)) {
    throw invalidField(
      '/plugin',
      kind === 'plugin' ? 'is required for a plugin key' : 'is of plugin keys only',
    )
  }
}

async function pluginIdOf(
  trx: Transaction<DB>,
  scope: KeyScope,
  slugOrId: string | undefined,
): Promise<string | null> {
  if (slugOrId === undefined || scope === null) return null
  const plugin = await lockPlugin(trx, scope, slugOrId)
  if (plugin === undefined) throw invalidField('/plugin', 'names no plugin of this tenant')
  return plugin.id
}

function futureTime(text: string): Date {
  const time = parseTime(text)
  if (time === null || time <= now()) throw invalidField('/expires_at', 'must be a time in the future')
  return new Date(time)
}

function invalidField(pointer: string, detail: string) {
  return invalidRequest(undefined, { errors: [{ pointer, detail }] })
}
