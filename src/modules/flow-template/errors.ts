import { defineProblem } from '#lib/api/problem.ts'

export const flowTemplateNotFound = defineProblem(
  'flow_template_not_found',
  404,
  'There is no such template',
  'GET /api/automation/templates lists those that there are.',
)
