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

/** Problems that any route may answer, also one that asks for no key, for its `response` schema. */
export const OPEN_PROBLEMS = [invalidRequest, databaseUnavailable, overloaded] as const

/** Problems that reading a body may end in. Every method but GET and HEAD reads one, wanted or not. */
export const BODY_PROBLEMS = [invalidJson, payloadTooLarge, unsupportedMediaType] as const

/** Problems that a GET with a key may answer. */
export const READ_PROBLEMS = [...AUTH_PROBLEMS, ...OPEN_PROBLEMS] as const

/** Problems that any other method with a key may answer. */
export const WRITE_PROBLEMS = [...READ_PROBLEMS, ...BODY_PROBLEMS, quotaExceeded, quotaRateExceeded] as const
