import { createHash } from 'node:crypto'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { actionReferences } from '#lib/flow/index.ts'
import type { Flow, FlowService } from '#modules/flow/index.ts'
import { flowTemplateNotFound } from './errors.ts'
import { readParameters } from './read-parameters.ts'
import type { FlowTemplateView, InstallTemplateRequest, TemplateQuery } from './schemas.ts'
import type { FlowTemplate } from './template.ts'
import { TEMPLATES } from './templates/index.ts'

/** What is to be made of a template. */
export interface Installation extends Partial<InstallTemplateRequest> {
  /** What the CRM keeps with the flow. */
  automation?: unknown
}

const VIEWS: ReadonlyMap<string, FlowTemplateView> = new Map(TEMPLATES.map((each) => [each.id, viewOf(each)]))

export function listTemplates({ category }: TemplateQuery): FlowTemplateView[] {
  return [...VIEWS.values()].filter((each) => category === undefined || each.category === category)
}

/** @throws `flow_template_not_found` */
export function readTemplate(id: string): FlowTemplateView {
  const view = VIEWS.get(id)
  if (view === undefined) throw flowTemplateNotFound()
  return view
}

/**
 * Installs a template; with the same parameters once, unless another one is asked for.
 * @throws `flow_template_not_found`, `invalid_request`, `flow_invalid` if it is to be active
 */
export async function installTemplate(
  flows: Pick<FlowService, 'create' | 'createOnce'>,
  actor: Actor,
  tenantId: string,
  id: string,
  { automation, another = false, ...request }: Installation,
): Promise<{ flow: Flow; isNew: boolean }> {
  const definition = defineFlow(id, request)
  const origin = { templateId: id, automation }
  if (another) return { flow: await flows.create(actor, tenantId, definition, origin), isNew: true }
  const templateKey = keyOf(id, request.parameters ?? {})
  return flows.createOnce(actor, tenantId, definition, { ...origin, templateKey })
}

/** By the values that it is built from: one that is left out is its default. */
function keyOf(id: string, parameters: Readonly<Record<string, unknown>>): string {
  const template = TEMPLATES.find((each) => each.id === id)
  const read = template === undefined ? null : readParameters(template.parameters, parameters)
  return createHash('sha256')
    .update(JSON.stringify([id, read]))
    .digest('hex')
}

/** The definition that installing the template makes. @throws `flow_template_not_found`, `invalid_request` */
export function defineFlow(
  id: string,
  { name, status = 'draft', parameters = {} }: Partial<InstallTemplateRequest>,
): Record<string, unknown> {
  const template = TEMPLATES.find((each) => each.id === id)
  if (template === undefined) throw flowTemplateNotFound()
  const { title, description } = template
  return { name: name ?? title, description, status, ...build(template, parameters) }
}

function build(template: FlowTemplate, parameters: Readonly<Record<string, unknown>>): object {
  const read = readParameters(template.parameters, parameters)
  const errors = 'errors' in read ? read.errors : template.check(read.values)
  if ('errors' in read || errors.length > 0) throw invalidRequest(undefined, { errors })
  return template.build(read.values)
}

function viewOf(template: FlowTemplate): FlowTemplateView {
  const { id, title, description, category, parameters } = template
  const definition = defineFlow(id, {})
  const { triggers } = definition as unknown as ReturnType<FlowTemplate['build']>
  return {
    id,
    title,
    description,
    category,
    triggers: [...new Set(triggers.flatMap((trigger) => trigger.event_types))],
    actions: [...new Set(actionReferences(definition).map(({ actionType }) => actionType))],
    parameters: Object.entries(parameters).map(([name, parameter]) => ({ name, ...parameter })),
    definition,
  }
}
