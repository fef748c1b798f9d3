import { AUTH_PROBLEMS } from '#infra/auth/auth.ts'
import {
  databaseUnavailable,
  invalidJson,
  invalidRequest,
  overloaded,
  payloadTooLarge,
  unsupportedMediaType,
} from './problems.ts'
import { quotaExceeded, quotaRateExceeded } from '#infra/quotas.ts'

/** What any route may answer, also one that asks for no key, for its `response` schema. */
export const OPEN_PROBLEMS = [invalidRequest, databaseUnavailable, overloaded] as const

/** What the reading of a body may end in. Every method but GET and HEAD reads one, wanted or not. */
export const BODY_PROBLEMS = [invalidJson, payloadTooLarge, unsupportedMediaType] as const

/** What a GET with a key may answer. */
export const READ_PROBLEMS = [...AUTH_PROBLEMS, ...OPEN_PROBLEMS] as const

/** What any other method with a key may answer. */
export const WRITE_PROBLEMS = [...READ_PROBLEMS, ...BODY_PROBLEMS, quotaExceeded, quotaRateExceeded] as const
