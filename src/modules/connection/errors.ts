import { defineProblem } from '#lib/api/problem.ts'

export const connectionNotFound = defineProblem(
  'connection_not_found',
  404,
  'There is no such connection',
  'Check the name: GET /api/connections lists those of this shop.',
)
export const connectionExists = defineProblem(
  'connection_exists',
  409,
  'There is a connection of that name',
  'Change it by PATCH /api/connections/{name}, or choose another name.',
)
export const connectionInUse = defineProblem(
  'connection_in_use',
  409,
  'Flows name the connection',
  'See flows: take it out of them first, or send force=true. Their steps that name it then fail.',
)
