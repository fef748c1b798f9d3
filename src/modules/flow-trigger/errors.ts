import { defineProblem } from '#lib/api/problem.ts'

export const inletNotFound = defineProblem(
  'inlet_not_found',
  404,
  'There is no such inlet',
  'Check the URL: the flow behind it may be switched off, or the URL was replaced by another one.',
)
export const inletConflict = defineProblem(
  'inlet_conflict',
  409,
  'Another body came with this key',
  'An Idempotency-Key stands for one body. Send the first body unchanged, or this one with its own key.',
)
