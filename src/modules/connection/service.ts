import { allowsHost } from '#lib/connection-hosts.ts'
import type { Kysely, Transaction } from 'kysely'
import { readJson, writeJson } from '#db/json.ts'
import type { DB, FlowStatus } from '#db/schema.ts'
import { audit, changesOf } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { Egress } from '#infra/egress/index.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import { enforceQuotas } from '#infra/quotas.ts'
import { secretContext } from '#infra/secrets.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { newId } from '#lib/ids.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'
import {
  type Authorisation,
  type AuthorisationFault,
  fault,
  plainAuthorisation,
  tokenAuthorisation,
} from './authorisation.ts'
import { connectionExists, connectionInUse, connectionNotFound } from './errors.ts'
import { checkFields, checkHosts, type ConnectionValues } from './kinds.ts'
import {
  type ConnectionRow,
  deleteConnectionRow,
  findConnection,
  insertConnection,
  lockConnection,
  type SealedConnection,
  selectConnections,
  updateConnection,
} from './repository.ts'
import type { ConnectionChange, NewConnection } from './schemas.ts'
import type { TokenCache, TokenClient } from './tokens.ts'

/** A flow that names a connection, in its draft or its published version. */
export interface ConnectionUser {
  id: string
  name: string
  status: FlowStatus
}
/** For the module that knows who names connections, which may not be asked from here. */
/** By which the other side signs. */
export interface WebhookSecrets {
  /** Any of them may be the one: while it is changed there are two. */
  secrets: string[]
  /** The token that the other side says when it asks whether it may send. */
  verifyToken: string | null
}

export type ConnectionUsage = (
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  name: string,
) => Promise<ConnectionUser[]>

export interface ConnectionContext {
  db: Kysely<DB>
  secretBox: SecretBox
  egress: Pick<Egress, 'check'>
  tokens: TokenCache
  usersOf: ConnectionUsage
}

export async function createConnection(
  ctx: ConnectionContext,
  actor: Actor,
  tenantId: string,
  input: NewConnection,
): Promise<ConnectionRow> {
  const { name, kind, description = '', settings = {}, values } = input
  const hosts = input.hosts ?? []
  await check(ctx, [...checkHosts(kind, hosts), ...checkFields(kind, settings, values)], settings.token_url)
  const id = newId()
  return ctx.db.transaction().execute(async (trx) => {
    const values_sealed = seal(ctx, tenantId, id, values)
    const row = { id, tenant_id: tenantId, name, kind, description, hosts, settings, values_sealed }
    if (!(await insertConnection(trx, row))) throw connectionExists(`There is a connection "${name}".`)
    await enforceQuotas(trx, tenantId, ['connections'])
    const detail = { kind, hosts, settings }
    await audit(trx, actor, { ...targetOf(tenantId, name), action: 'connection.created', detail })
    return found(await findConnection(trx, tenantId, name))
  })
}

export async function listConnections(
  ctx: ConnectionContext,
  tenantId: string,
  query: { limit: number; cursor?: string | undefined },
): Promise<{ data: ConnectionRow[]; next_cursor: string | null }> {
  const after = query.cursor === undefined ? null : decodeCursor(query.cursor, ['string'])?.[0]
  if (after === undefined) throw invalidCursor()
  const rows = await selectConnections(ctx.db, tenantId, {
    after: after as string | null,
    limit: query.limit + 1,
  })
  return page(rows, query.limit, (row) => [row.name])
}

export async function readConnection(
  ctx: ConnectionContext,
  tenantId: string,
  name: string,
): Promise<ConnectionRow> {
  return found(await findConnection(ctx.db, tenantId, name))
}

/**
 * Changes a connection; members that are left out stay. A change of the place that the values go to takes the values
 * anew: else somebody who may change a connection but does not know its values could have them sent to a place of
 * their own.
 */
export async function changeConnection(
  ctx: ConnectionContext,
  actor: Actor,
  tenantId: string,
  name: string,
  change: ConnectionChange,
): Promise<ConnectionRow> {
  const { description, hosts, settings, values } = change
  const { kind } = found(await findConnection(ctx.db, tenantId, name))
  const wrong = [
    ...checkHosts(kind, hosts),
    ...(settings === undefined && values === undefined
      ? []
      : checkFields(kind, settings ?? {}, values).filter(
          ({ pointer }) => settings !== undefined || !pointer.startsWith('/settings'),
        )),
  ]
  await check(ctx, wrong, settings?.token_url)
  return ctx.db.transaction().execute(async (trx) => {
    const stored = found(await lockConnection(trx, tenantId, name))
    if (values === undefined) refuseElsewhere(stored, change)
    const row = await updateConnection(trx, tenantId, name, {
      description,
      hosts,
      settings,
      ...(values !== undefined && { values_sealed: seal(ctx, tenantId, stored.id, values) }),
    })
    // The description is free text, and nothing is ever erased from the audit log: `changed` names it.
    const told = ({ hosts, settings }: ConnectionRow): object => ({ hosts, settings })
    const detail = {
      changed: Object.keys(change),
      hosts: row.hosts,
      settings: row.settings,
      ...changesOf(told(stored), told(row)),
    }
    await audit(trx, actor, { ...targetOf(tenantId, name), action: 'connection.updated', detail })
    return row
  })
}

/** @throws `connection_in_use`, which names the flows, unless it is forced */
export async function deleteConnection(
  ctx: ConnectionContext,
  actor: Actor,
  tenantId: string,
  name: string,
  { force = false }: { force?: boolean | undefined },
): Promise<void> {
  await ctx.db.transaction().execute(async (trx) => {
    found(await lockConnection(trx, tenantId, name))
    const flows = await ctx.usersOf(trx, tenantId, name)
    if (flows.length > 0 && !force) {
      throw connectionInUse(`${flows.length} flows name the connection "${name}".`, { extensions: { flows } })
    }
    await deleteConnectionRow(trx, tenantId, name)
    const detail = { used_by: flows.map(({ id }) => id) }
    await audit(trx, actor, { ...targetOf(tenantId, name), action: 'connection.deleted', detail })
  })
}

/**
 * Returns the addition to a request to this URL, by the connection as it is now: a change holds at once, on every
 * replica.
 *
 * @param refused a token that the other side has not taken
 */
export async function authorise(
  ctx: Pick<ConnectionContext, 'db' | 'secretBox' | 'tokens'>,
  tenantId: string,
  name: string,
  { url, timeoutMs, refused = null }: { url: string; timeoutMs: number; refused?: string | null },
): Promise<Authorisation | AuthorisationFault> {
  const row = await findConnection(ctx.db, tenantId, name)
  if (row === undefined) return fault('connection_not_found', `The shop has no connection "${name}".`)
  if (row.kind === 'webhook_secret') {
    const message = `The connection "${name}" verifies webhooks, and is never sent.`
    return fault('connection_host_refused', message)
  }
  if (!allowsHost(row.hosts, url)) {
    const message = `The connection "${name}" may be used for ${row.hosts.join(', ')} only.`
    return fault('connection_host_refused', message)
  }
  let values: ConnectionValues
  try {
    values = open(ctx, tenantId, row)
  } catch (error) {
    if (!(error instanceof SecretBoxError)) throw error
    const message = `The values of the connection "${name}" cannot be opened: give them again by PATCH.`
    return fault('connection_unreadable', message, true)
  }
  if (row.kind !== 'oauth2_client_credentials') return plainAuthorisation(row.kind, row.settings, values)
  const client = clientOf(tenantId, row, values)
  const token = await ctx.tokens.get(client, timeoutMs, refused)
  return typeof token === 'string' ? tokenAuthorisation(client.clientSecret, token) : token
}

/** Reads the secrets that sign webhooks that come; null: there is no such connection, or its values cannot be opened. */
export async function readWebhookSecrets(
  ctx: Pick<ConnectionContext, 'db' | 'secretBox'>,
  tenantId: string,
  name: string,
): Promise<WebhookSecrets | null> {
  const row = await findConnection(ctx.db, tenantId, name)
  if (row?.kind !== 'webhook_secret') return null
  try {
    const { secret = '', previous_secret, verify_token } = open(ctx, tenantId, row)
    const secrets = [secret, ...(previous_secret === undefined ? [] : [previous_secret])]
    return { secrets, verifyToken: verify_token ?? null }
  } catch (error) {
    if (error instanceof SecretBoxError) return null
    throw error
  }
}

function clientOf(
  tenantId: string,
  { id, revision, settings }: SealedConnection,
  values: ConnectionValues,
): TokenClient {
  return {
    tenantId,
    connectionId: id,
    revision,
    tokenUrl: settings.token_url ?? '',
    clientId: values.client_id ?? '',
    clientSecret: values.client_secret ?? '',
    scope: settings.scope ?? null,
    audience: settings.audience ?? null,
    auth: settings.client_auth ?? 'basic',
  }
}

function refuseElsewhere(stored: ConnectionRow, { hosts = [], settings }: ConnectionChange): void {
  const isElsewhere =
    hosts.some((host) => !stored.hosts.includes(host)) ||
    (settings?.token_url !== undefined && settings.token_url !== stored.settings.token_url)
  if (!isElsewhere) return
  const detail =
    'is required where hosts are added or token_url changes: values are not sent elsewhere unseen'
  throw invalidRequest(undefined, { errors: [{ pointer: '/values', detail }] })
}

/** It may resolve names, so never inside a transaction. */
async function check(
  ctx: ConnectionContext,
  wrong: readonly FieldError[],
  tokenUrl: string | undefined,
): Promise<void> {
  const refusal = tokenUrl === undefined ? null : await ctx.egress.check(tokenUrl)
  const errors = [
    ...wrong,
    ...(refusal === null ? [] : [{ pointer: '/settings/token_url', detail: refusal.detail }]),
  ]
  if (errors.length > 0) throw invalidRequest(undefined, { errors })
}

function seal({ secretBox }: ConnectionContext, tenantId: string, id: string, values: ConnectionValues) {
  return secretBox.seal(writeJson(values), secretContext(tenantId, id, 'values'))
}

function open(
  { secretBox }: Pick<ConnectionContext, 'secretBox'>,
  tenantId: string,
  { id, values_sealed }: SealedConnection,
): ConnectionValues {
  return readJson(secretBox.open(values_sealed, secretContext(tenantId, id, 'values'))) as ConnectionValues
}

function targetOf(tenantId: string, name: string) {
  return { tenantId, targetKind: 'connection', targetId: name }
}

function found<Row>(row: Row | undefined): Row {
  if (row === undefined) throw connectionNotFound()
  return row
}
