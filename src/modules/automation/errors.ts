import { defineProblem } from '../../lib/problem.ts'

export const automationNotFound = defineProblem(
  'automation_not_found',
  404,
  'Automation not found',
  'GET /api/automations lists them.',
)
export const automationInvalid = defineProblem(
  'automation_invalid',
  422,
  'The automation would not work',
  'See errors: each entry names a field and what to do about it.',
)
export const automationCustomised = defineProblem(
  'automation_customised',
  409,
  'The flow of the automation was edited by hand',
  'Change the flow itself, or give up its edits by POST /api/automations/{id}/reset. It can still be switched on and off.',
)
export const automationBusy = defineProblem(
  'automation_busy',
  409,
  'The automation is being changed by somebody else',
  'Send the change again.',
)
