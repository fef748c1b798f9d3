import { defineProblem } from '#lib/api/problem.ts'

export const variableNotFound = defineProblem(
  'variable_not_found',
  404,
  'There is no such variable',
  'Check the name: GET /api/variables lists those of this shop.',
)
export const variableInUse = defineProblem(
  'variable_in_use',
  409,
  'Flows read the variable',
  'See flows: take it out of them first, or send force=true. What they start then lacks it.',
)
