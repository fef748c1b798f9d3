import { defineProblem } from '#lib/api/problem.ts'

export const replayNotFound = defineProblem(
  'replay_not_found',
  404,
  'There is no such replay',
  'Check the id: GET /api/replays lists the replays of this tenant.',
)
export const replayFinished = defineProblem(
  'replay_finished',
  409,
  'The replay has finished already',
  'Only a queued or running replay can be cancelled.',
)
export const recoveryNotFound = defineProblem(
  'recovery_not_found',
  404,
  'There is no such recovery',
  'Check the id: GET /api/recoveries lists those of this tenant, or with a platform key and no X-Tenant-Id those of all tenants.',
)
export const recoveryFinished = defineProblem(
  'recovery_finished',
  409,
  'The recovery has finished already',
  'Only a queued or running recovery can be cancelled.',
)
export const tooManyRecoveries = defineProblem(
  'too_many_recoveries',
  409,
  'Too many recoveries are open',
  'Wait until one of them has finished, or cancel one: three may be queued or running for a tenant, and three for all tenants.',
)
export const tooManyReplays = defineProblem(
  'too_many_replays',
  409,
  'Too many replays are open',
  'Wait until one of them has finished, or cancel one: a tenant may have 10 that are queued or running.',
)
