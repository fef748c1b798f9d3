import { defineProblem } from '#lib/api/problem.ts'

export const flowNewer = defineProblem(
  'flow_newer',
  503,
  'The flow was published by a newer release of the service',
  'Send the request again after Retry-After: every process can answer it once all are updated.',
)
export const flowOutdated = defineProblem(
  'flow_outdated',
  409,
  'The flow was published by an older release, and does not compile any more',
  'Publish it again: the answer says what is wrong with it.',
)
