import { defineProblem } from '#lib/api/problem.ts'

export const sessionNotFound = defineProblem(
  'session_not_found',
  404,
  'There is no such session',
  'Check the id: GET /api/sessions lists the sessions of the tenant, or all of them to a platform key.',
)
