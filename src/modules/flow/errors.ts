import type { FlowProblem } from '#lib/flow/index.ts'
import { defineProblem, type Problem } from '#lib/api/problem.ts'

export const flowNotFound = defineProblem(
  'flow_not_found',
  404,
  'There is no such flow',
  'Check the id: GET /api/automation/flows lists the flows of this tenant.',
)
export const flowVersionNotFound = defineProblem(
  'flow_version_not_found',
  404,
  'The flow has no such version',
  'GET /api/automation/flows/{id}/versions lists the versions that were published.',
)
export const flowInvalid = defineProblem(
  'flow_invalid',
  422,
  'The flow has errors',
  'See problems: each has a code, a pointer into the definition and what to do. Only flows without errors can be active.',
)
export const flowChanged = defineProblem(
  'flow_changed',
  412,
  'The flow has changed since it was read',
  'Apply the change to the flow as it is now, see flow, and send its ETag as If-Match.',
)
export const flowNotActive = defineProblem(
  'flow_not_active',
  409,
  'The flow is not active',
  'Activate the flow first: only active flows start.',
)
export const flowNotManual = defineProblem(
  'flow_not_manual',
  409,
  'The flow has no manual trigger',
  'Publish it with a trigger { "type": "manual" }, or try it out by POST /api/automation/flows/{id}/test.',
)
export const flowInputInvalid = defineProblem(
  'flow_input_invalid',
  422,
  'The input is not what the flow takes',
  "See errors: each entry names a place in the input. The manual trigger's input_schema says what it must be.",
)
export const flowRunConflict = defineProblem(
  'flow_run_conflict',
  409,
  'Another run has this Idempotency-Key',
  'A key stands for one run with one input. Send the same input again, or another key.',
)
export const tooManyFlows = defineProblem(
  'too_many_flows',
  409,
  'The tenant has too many flows',
  'Delete flows that are not needed any more.',
)
export const flowExportUnknown = defineProblem(
  'flow_export_unknown',
  422,
  'This is not an exported flow that can be read here',
  'Send what GET /api/automation/flows/{id}/export answered, unchanged, from a service that is not newer than this one.',
)

/** @param problems all that compiling found, warnings too */
export function invalidFlow(problems: readonly FlowProblem[]): Problem {
  const errors = problems.filter(({ severity }) => severity === 'error')
  return flowInvalid(undefined, {
    errors: errors.map(({ pointer, message }) => ({ pointer, detail: message })),
    extensions: { problems },
  })
}
