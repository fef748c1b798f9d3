import { AUTH_PROBLEMS } from '../../infra/auth.ts'
import {
  databaseUnavailable,
  invalidJson,
  invalidRequest,
  payloadTooLarge,
  unsupportedMediaType,
} from '../../infra/problems.ts'
import { defineProblem } from '../../lib/problem.ts'

export const flowTemplateNotFound = defineProblem(
  'flow_template_not_found',
  404,
  'There is no such template',
  'GET /api/automation/templates lists those that there are.',
)

export const READ_PROBLEMS = [...AUTH_PROBLEMS, invalidRequest, databaseUnavailable] as const
export const WRITE_PROBLEMS = [...READ_PROBLEMS, invalidJson, payloadTooLarge, unsupportedMediaType] as const
