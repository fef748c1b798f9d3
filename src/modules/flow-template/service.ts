import { createHash } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { actionReferences, splitPointer } from '#lib/flow/index.ts'
import { redactCall } from '#lib/secrets/redact-call.ts'
import { REDACTED } from '#lib/secrets/redact.ts'
import { type Flow, mayEdit } from '#modules/flow/index.ts'
import type { FlowTemplateContext } from './context.ts'
import { flowTemplateNotFound } from './errors.ts'
import { type OwnRow, selectOwn } from './own-repository.ts'
import { foundOwn, templateOf } from './own-service.ts'
import type { OwnParameter } from './own-parameters.ts'
import { valueAt } from './places.ts'
import { readParameters } from './read-parameters.ts'
import type {
  FlowTemplateSummary,
  FlowTemplateView,
  InstallTemplateRequest,
  TemplateQuery,
} from './schemas.ts'
import type { FlowTemplate } from './template.ts'
import { TEMPLATES } from './templates/index.ts'

/** A request to make a flow of a template. */
export interface Installation extends Partial<InstallTemplateRequest> {
  /** The members that the CRM keeps with the flow. */
  automation?: unknown
}

const VIEWS: ReadonlyMap<string, FlowTemplateView> = new Map(TEMPLATES.map((each) => [each.id, viewOf(each)]))

/** Bounds a list: a shop has more of its own only by a raised quota. */
const MAX_OWN_LISTED = 1_000

/** Lists those of the shop's own first, newest first. */
export async function listTemplates(
  db: Kysely<DB>,
  tenantId: string,
  { category, own }: TemplateQuery,
): Promise<FlowTemplateSummary[]> {
  const ofShop =
    own === false ? [] : await selectOwn(db, tenantId, { category: category ?? null, limit: MAX_OWN_LISTED })
  const readyMade =
    own === true
      ? []
      : [...VIEWS.values()].filter((each) => category === undefined || each.category === category)
  return [...ofShop.map((each) => ({ ...each, own: true })), ...readyMade]
}

/** @throws `flow_template_not_found` */
export async function readTemplate(
  db: Kysely<DB>,
  actor: Actor,
  tenantId: string,
  id: string,
): Promise<FlowTemplateView> {
  return VIEWS.get(id) ?? viewOwn(actor, await foundOwn(db, tenantId, id))
}

/** Shows one of the shop's own; whoever may not change flows sees no credentials in their calls here either. */
export function viewOwn(actor: Actor, row: OwnRow): FlowTemplateView {
  const definition = define(templateOf(row), {})
  if (mayEdit(actor)) return { ...row, own: true, definition }
  return {
    ...row,
    own: true,
    parameters: row.parameters.map(withoutCredentials),
    definition: redactCall(definition) as Record<string, unknown>,
  }
}

/** A parameter whose values are shown as they are in the definition, at the first of its places. */
function withoutCredentials(parameter: OwnParameter): OwnParameter {
  const [place = ''] = parameter.places
  if (parameter.type === 'choice') {
    const choices = parameter.choices.map((each) => String(shownAt(place, each)))
    return { ...parameter, default: String(shownAt(place, parameter.default)), choices }
  }
  return { ...parameter, default: shownAt(place, parameter.default) } as OwnParameter
}

/** Returns a value as a definition that has it at the place is shown to whoever may not change flows. */
function shownAt(place: string, value: string | number): string | number {
  const around = splitPointer(place).reduceRight<unknown>((inner, member) => ({ [member]: inner }), value)
  const shown = valueAt(redactCall(around) as Record<string, unknown>, place)
  return typeof shown === 'string' || typeof shown === 'number' ? shown : REDACTED
}

/**
 * Installs a template; with the same parameters once, unless another one is asked for.
 * @throws `flow_template_not_found`, `invalid_request`, `flow_invalid` if it is to be active
 */
export async function installTemplate(
  { db, flows }: FlowTemplateContext,
  actor: Actor,
  tenantId: string,
  id: string,
  { automation, another = false, ...request }: Installation,
): Promise<{ flow: Flow; isNew: boolean }> {
  const template = readyMade(id) ?? templateOf(await foundOwn(db, tenantId, id))
  const definition = define(template, request)
  const origin = { templateId: template.id, automation }
  if (another) return { flow: await flows.create(actor, tenantId, definition, origin), isNew: true }
  const templateKey = keyOf(template, request.parameters ?? {})
  return flows.createOnce(actor, tenantId, definition, { ...origin, templateKey })
}

/** By the values that it is built from: one that is left out is its default. */
function keyOf({ id, parameters }: FlowTemplate, given: Readonly<Record<string, unknown>>): string {
  return createHash('sha256')
    .update(JSON.stringify([id, readParameters(parameters, given)]))
    .digest('hex')
}

/** The definition that installing a ready-made template makes. @throws `flow_template_not_found`, `invalid_request` */
export function defineFlow(id: string, request: Partial<InstallTemplateRequest>): Record<string, unknown> {
  const template = readyMade(id)
  if (template === undefined) throw flowTemplateNotFound()
  return define(template, request)
}

function define(
  template: FlowTemplate,
  { name, status = 'draft', parameters = {} }: Partial<InstallTemplateRequest>,
): Record<string, unknown> {
  const { title, description } = template
  return { name: name ?? title, description, status, ...build(template, parameters) }
}

function readyMade(id: string): FlowTemplate | undefined {
  return TEMPLATES.find((each) => each.id === id)
}

function build(template: FlowTemplate, parameters: Readonly<Record<string, unknown>>): object {
  const read = readParameters(template.parameters, parameters)
  const errors = 'errors' in read ? read.errors : template.check(read.values)
  if ('errors' in read || errors.length > 0) throw invalidRequest(undefined, { errors })
  return template.build(read.values)
}

function viewOf(template: FlowTemplate): FlowTemplateView {
  const { id, title, description, category, parameters } = template
  const definition = define(template, {})
  const { triggers } = definition as unknown as ReturnType<FlowTemplate['build']>
  return {
    id,
    title,
    description,
    category,
    own: false,
    created_at: null,
    updated_at: null,
    triggers: [...new Set(triggers.flatMap((trigger) => trigger.event_types))],
    actions: [...new Set(actionReferences(definition).map(({ actionType }) => actionType))],
    parameters: Object.entries(parameters).map(([name, parameter]) => ({ name, ...parameter })),
    definition,
  }
}
