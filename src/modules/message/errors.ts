import { defineProblem } from '#lib/api/problem.ts'

export const messageNotFound = defineProblem(
  'message_not_found',
  404,
  'There is no such message',
  'Check the id: GET /api/automation/messages lists the messages of this tenant.',
)
