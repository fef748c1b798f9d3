import { defineProblem } from '#lib/api/problem.ts'

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
export const automationRecordUnfit = defineProblem(
  'automation_record_unfit',
  422,
  'The automation cannot start by this record',
  'See errors: each entry names a member and what to do about it.',
)
export const automationRecordNotFound = defineProblem(
  'automation_record_not_found',
  422,
  'The platform has no such record',
  "Check the id, or give the record's data.",
)
export const automationRecordUnknown = defineProblem(
  'automation_record_unknown',
  422,
  'There is no platform to ask for the record',
  "Give the record's data, or set PLATFORM_URL.",
)
export const automationPlatformFailed = defineProblem(
  'automation_platform_failed',
  502,
  'The platform did not give the record',
  "Try again later, or give the record's data.",
)
