import { Buffer } from 'node:buffer'
import type { Kysely, Transaction } from 'kysely'
import { writeJson } from '#db/json.ts'
import type { DB, FlowStatus } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import { enforceQuotas } from '#infra/quotas.ts'
import { raiseFlowsVersion } from '#infra/tenant-versions.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { secretTexts } from '#lib/flow/read/secret-texts.ts'
import { isRawNumber } from '#lib/json/index.ts'
import { variableInUse, variableNotFound } from './errors.ts'
import {
  deleteVariableRow,
  findVariable,
  selectPage,
  upsertVariable,
  type VariableRow,
} from './repository.ts'
import { type Variable, type VariableInput, VALUE_MAX_BYTES } from './schemas.ts'

/** A flow that reads a variable, in its draft or its published version. */
export interface VariableUser {
  id: string
  name: string
  status: FlowStatus
}
/** For the module that knows who reads variables, which may not be asked from here. */
export type VariableUsage = (
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  name: string,
) => Promise<VariableUser[]>

export interface VariableContext {
  db: Kysely<DB>
  usersOf: VariableUsage
}

export async function listVariables(
  ctx: VariableContext,
  tenantId: string,
  query: { limit: number; cursor?: string | undefined },
): Promise<{ data: Variable[]; next_cursor: string | null }> {
  const after = query.cursor === undefined ? null : decodeCursor(query.cursor, ['string'])?.[0]
  if (after === undefined) throw invalidCursor()
  const rows = await selectPage(ctx.db, tenantId, { after: after as string | null, limit: query.limit + 1 })
  return page(rows.map(toVariable), query.limit, ({ name }) => [name])
}

export async function readVariable(ctx: VariableContext, tenantId: string, name: string): Promise<Variable> {
  const row = await findVariable(ctx.db, tenantId, name)
  if (row === undefined) throw variableNotFound()
  return toVariable(row)
}

/** Sets a variable. Executions that start from now on have the new value, whichever process starts them. */
export async function setVariable(
  ctx: VariableContext,
  actor: Actor,
  tenantId: string,
  name: string,
  { value, description }: VariableInput,
): Promise<{ variable: Variable; isNew: boolean }> {
  check(value)
  return ctx.db.transaction().execute(async (trx) => {
    const { row, isNew } = await upsertVariable(trx, { tenant_id: tenantId, name, value, description })
    await enforceQuotas(trx, tenantId, ['variables', 'variable_bytes'])
    await raiseFlowsVersion(trx, tenantId)
    const variable = toVariable(row)
    const target = { tenantId, targetKind: 'variable', targetId: name }
    const action = isNew ? 'variable.created' : 'variable.updated'
    await audit(trx, actor, { ...target, action, detail: { type: variable.type } })
    return { variable, isNew }
  })
}

/** @throws `variable_in_use`, which names the flows, unless it is forced */
export async function deleteVariable(
  ctx: VariableContext,
  actor: Actor,
  tenantId: string,
  name: string,
  { force = false }: { force?: boolean | undefined },
): Promise<void> {
  await ctx.db.transaction().execute(async (trx) => {
    if (!(await deleteVariableRow(trx, tenantId, name))) throw variableNotFound()
    const flows = await ctx.usersOf(trx, tenantId, name)
    if (flows.length > 0 && !force) {
      throw variableInUse(`${flows.length} flows read the variable "${name}".`, { extensions: { flows } })
    }
    await raiseFlowsVersion(trx, tenantId)
    const target = { tenantId, targetKind: 'variable', targetId: name }
    const detail = { used_by: flows.map(({ id }) => id) }
    await audit(trx, actor, { ...target, action: 'variable.deleted', detail })
  })
}

function check(value: unknown): void {
  const bytes = Buffer.byteLength(writeJson(value))
  const detail =
    value === null
      ? 'must not be null: delete the variable instead'
      : bytes > VALUE_MAX_BYTES
        ? `must be at most ${VALUE_MAX_BYTES} bytes of JSON, and has ${bytes}`
        : null
  if (detail !== null) throw invalidRequest(undefined, { errors: [{ pointer: '/value', detail }] })
}

const SECRET_WARNING =
  'This looks like a key, which whoever reads flows sees: keep it in a connection (POST /api/connections).'

function toVariable(row: VariableRow): Variable {
  const [secret] = secretTexts(row.value, row.name)
  return { ...row, type: typeOf(row.value), warning: secret === undefined ? null : SECRET_WARNING }
}

function typeOf(value: unknown): Variable['type'] {
  if (typeof value === 'number' || isRawNumber(value)) return 'number'
  if (typeof value === 'boolean') return 'boolean'
  if (Array.isArray(value)) return 'list'
  return typeof value === 'string' ? 'text' : 'object'
}
