import { defineProblem } from '#lib/api/problem.ts'

export const flowTemplateNotFound = defineProblem(
  'flow_template_not_found',
  404,
  'There is no such template',
  'GET /api/automation/templates lists those that there are.',
)
export const flowTemplateReadyMade = defineProblem(
  'flow_template_ready_made',
  409,
  'Ready-made templates cannot be changed',
  'Install it, change the flow, and save that as a template of your own.',
)
export const flowTemplateSecrets = defineProblem(
  'flow_template_secrets',
  422,
  'The flow holds secrets, which no template may',
  'See errors: each entry names a place in the definition. Put the value into a connection, or have it asked for by a parameter.',
)
