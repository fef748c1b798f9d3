import { defineProblem } from '#lib/api/problem.ts'

export const erasureNotFound = defineProblem(
  'erasure_not_found',
  404,
  'There is no such erasure',
  'Check the id: GET /api/erasures lists the erasures of this tenant.',
)
export const tooManyErasures = defineProblem(
  'too_many_erasures',
  409,
  'Too many erasures are open',
  'Wait until one of them has finished: a tenant may have 10 that are queued or running.',
)
