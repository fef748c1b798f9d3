import { defineProblem } from '#lib/api/problem.ts'

export const executionNotFound = defineProblem(
  'execution_not_found',
  404,
  'There is no such execution',
  'Check the id: GET /api/automation/executions lists the executions of this tenant.',
)
export const setAsideNotFound = defineProblem(
  'set_aside_event_not_found',
  404,
  'There is no such event that was set aside',
  'Check the id: GET /api/automation/set-aside-events lists them. One that was taken up and matched is there no longer.',
)
export const bulkChangeNotFound = defineProblem(
  'bulk_change_not_found',
  404,
  'There is no such bulk change',
  'Check the id: GET /api/automation/bulk-changes lists those of this shop.',
)
export const bulkChangeFinished = defineProblem(
  'bulk_change_finished',
  409,
  'The bulk change has finished already',
  'Only one that is queued or running can be stopped.',
)
export const executionEnded = defineProblem(
  'execution_ended',
  409,
  'The execution has ended already',
  'Only what is queued, running or waiting can be cancelled.',
)
export const executionNotEnded = defineProblem(
  'execution_not_ended',
  409,
  'The execution has not ended',
  'Wait until it has, or cancel it: only what has ended is retried.',
)
export const retryUnderWay = defineProblem(
  'retry_under_way',
  409,
  'A retry of this execution is under way',
  'Wait for its end, or cancel it: GET /api/automation/executions/{id} lists the retries.',
)
export const nothingToRetry = defineProblem(
  'nothing_to_retry',
  409,
  'Nothing in the execution has failed',
  'It came to its end by itself. To do it again, retry from "start" or from a step.',
)
export const retryRefused = defineProblem(
  'retry_refused',
  409,
  "The flow's enrolment does not let the retry start",
  'Another execution with the same key is active and the flow says while_active: skip; or its templates do not come out.',
)
export const flowVersionMissing = defineProblem(
  'flow_version_missing',
  409,
  'The flow has no such version to run',
  'The flow was deleted, or was never published. Publish it, or start another flow.',
)
export const retryStepUnknown = defineProblem(
  'retry_step_unknown',
  422,
  'The version has no such step to start from',
  'Name a step of the version that the retry is to run, or choose the other version.',
)
export const retryStepInside = defineProblem(
  'retry_step_inside',
  422,
  'A retry cannot start there',
  'Steps inside a loop are done again with the loop; error handlers are entered by an error.',
)
export const retryOutputsMissing = defineProblem(
  'retry_outputs_missing',
  422,
  'What the steps need was not made by the execution',
  'Start from an earlier step, so that the steps that make it run.',
)
export const automationsHalted = defineProblem(
  'automations_halted',
  409,
  'Automations are halted for this tenant',
  'POST /api/automation/resume first.',
)
export const tooManyStreams = defineProblem(
  'too_many_streams',
  429,
  'Too many streams are open',
  'Close one of them, or read the execution with GET instead.',
)
