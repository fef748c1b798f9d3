import { defineProblem } from '#lib/api/problem.ts'

export const keyNotFound = defineProblem(
  'key_not_found',
  404,
  'There is no such key',
  'Check the id: GET /api/keys lists the keys of the tenant, or those of the platform without X-Tenant-Id.',
)
