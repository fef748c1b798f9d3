import { Buffer } from 'node:buffer'
import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { enforceQuotas } from '#infra/quotas.ts'
import { actionReferences } from '#lib/flow/index.ts'
import { isUuid, newId } from '#lib/ids.ts'
import { parseJson } from '#lib/json/index.ts'
import type { FlowTemplateContext } from './context.ts'
import { flowTemplateNotFound, flowTemplateReadyMade, flowTemplateSecrets } from './errors.ts'
import { plainTextFaults, readMarks } from './own-parameters.ts'
import {
  deleteOwn,
  findOwn,
  insertOwn,
  lockOwn,
  type OwnContent,
  type OwnRow,
  updateOwn,
} from './own-repository.ts'
import { putAt, secretPlaces } from './places.ts'
import type { ChangeTemplateRequest, CreateTemplateRequest, ParameterMark } from './schemas.ts'
import type { Definition, FlowTemplate } from './template.ts'
import { TEMPLATES } from './templates/index.ts'

/**
 * Saves a flow's draft as a template of the shop's own.
 * @throws `flow_not_found`, `flow_template_secrets`, `invalid_request`, `quota_exceeded`
 */
export async function createTemplate(
  ctx: FlowTemplateContext,
  actor: Actor,
  tenantId: string,
  { flow_id: flowId, title, description, category, parameters }: CreateTemplateRequest,
): Promise<OwnRow> {
  const content = contentOf(await sourceOf(ctx, tenantId, flowId), parameters)
  const id = newId()
  return ctx.db.transaction().execute(async (trx) => {
    const row = await insertOwn(trx, tenantId, id, { title, description, category, ...content })
    await enforceQuotas(trx, tenantId, ['flow_templates'])
    await audit(trx, actor, {
      ...targetOf(tenantId, id),
      action: 'flow_template.created',
      detail: { name: title, flow_id: flowId },
    })
    return row
  })
}

/**
 * Changes what is given. With `flow_id` that flow's draft takes the place of the definition; flows that were installed
 * stay as they are.
 * @throws `flow_template_not_found`, `flow_template_ready_made`, `flow_not_found`, `flow_template_secrets`, `invalid_request`
 */
export async function changeTemplate(
  ctx: FlowTemplateContext,
  actor: Actor,
  tenantId: string,
  id: string,
  { flow_id: flowId, parameters, ...head }: ChangeTemplateRequest,
): Promise<OwnRow> {
  refuseReadyMade(id)
  const given = flowId === undefined ? null : await sourceOf(ctx, tenantId, flowId)
  return ctx.db.transaction().execute(async (trx) => {
    const before = isUuid(id) ? await lockOwn(trx, tenantId, id) : undefined
    if (before === undefined) throw flowTemplateNotFound()
    const isSame = given === null && parameters === undefined
    const content = isSame
      ? before
      : contentOf(given ?? storedSource(before), parameters ?? before.parameters)
    const { title, description, category } = { ...before, ...head }
    const row = await updateOwn(trx, tenantId, id, {
      title,
      description,
      category,
      definition: content.definition,
      parameters: content.parameters,
      triggers: content.triggers,
      actions: content.actions,
    })
    await audit(trx, actor, {
      ...targetOf(tenantId, id),
      action: 'flow_template.updated',
      detail: { name: title, ...(flowId !== undefined && { flow_id: flowId }) },
    })
    return row
  })
}

/** Deletes one; flows that were installed stay. @throws `flow_template_not_found`, `flow_template_ready_made` */
export async function deleteTemplate(
  { db }: Pick<FlowTemplateContext, 'db'>,
  actor: Actor,
  tenantId: string,
  id: string,
): Promise<void> {
  refuseReadyMade(id)
  await db.transaction().execute(async (trx) => {
    const title = isUuid(id) ? await deleteOwn(trx, tenantId, id) : undefined
    if (title === undefined) throw flowTemplateNotFound()
    await audit(trx, actor, {
      ...targetOf(tenantId, id),
      action: 'flow_template.deleted',
      detail: { name: title },
    })
  })
}

/** @throws `flow_template_not_found` */
export async function foundOwn(db: Kysely<DB>, tenantId: string, id: string): Promise<OwnRow> {
  const row = isUuid(id) ? await findOwn(db, tenantId, id) : undefined
  if (row === undefined) throw flowTemplateNotFound()
  return row
}

/** Makes of a row what is installed by the same rules as what is ready-made. */
export function templateOf(row: OwnRow): FlowTemplate {
  const { id, title, description, category, parameters } = row
  return {
    id,
    title,
    description,
    category,
    parameters: Object.fromEntries(parameters.map(({ name, places: _places, ...rest }) => [name, rest])),
    check: (values) => plainTextFaults(parameters, values),
    build: (values) => {
      const definition = parsed(row.definition)
      for (const { name, places } of parameters) {
        for (const place of places) putAt(definition, place, values[name])
      }
      return definition as unknown as Definition
    },
  }
}

function refuseReadyMade(id: string): void {
  if (TEMPLATES.some((each) => each.id === id)) throw flowTemplateReadyMade()
}

/** Lists members that whoever installs a template gives, or has by its title. */
const INSTALLED_ANEW: readonly string[] = ['name', 'description', 'status']

/** A definition that templates are made of, and the event types that start it. */
interface Source {
  definition: Record<string, unknown>
  starts: string[]
}

async function sourceOf({ flows }: FlowTemplateContext, tenantId: string, flowId: string): Promise<Source> {
  const { definition, starts } = await flows.portable(tenantId, flowId)
  const kept = Object.entries(definition).filter(([member]) => !INSTALLED_ANEW.includes(member))
  return { definition: Object.fromEntries(kept), starts }
}

function storedSource({ definition, triggers }: OwnRow): Source {
  return { definition: parsed(definition), starts: triggers }
}

/** @throws `flow_template_secrets`, `invalid_request` */
function contentOf(
  { definition, starts }: Source,
  marks: readonly ParameterMark[],
): Pick<OwnContent, 'definition' | 'parameters' | 'triggers' | 'actions'> {
  const secrets = secretPlaces(definition)
  const read = readMarks(definition, marks, new Set(secrets.map(({ pointer }) => pointer)))
  if ('errors' in read) throw invalidRequest(undefined, { errors: read.errors })
  const { parameters } = read
  const asked = new Set(parameters.flatMap(({ places }) => places))
  const errors = secrets.filter(({ pointer }) => !asked.has(pointer))
  if (errors.length > 0) throw flowTemplateSecrets(undefined, { errors })
  for (const { places, default: value } of parameters) {
    for (const place of places) putAt(definition, place, value)
  }
  const actions = actionReferences(definition).map(({ actionType }) => actionType)
  return {
    definition: JSON.stringify(definition),
    parameters,
    triggers: starts,
    actions: [...new Set(actions)],
  }
}

function parsed(definition: string): Record<string, unknown> {
  return parseJson(Buffer.from(definition)) as Record<string, unknown>
}

function targetOf(tenantId: string, targetId: string) {
  return { tenantId, targetKind: 'flow_template', targetId }
}
