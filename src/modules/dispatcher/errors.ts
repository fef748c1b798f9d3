import { EGRESS_ERROR_CLASSES } from '#infra/egress/index.ts'
import { defineProblem } from '#lib/api/problem.ts'
import { CALL_ERROR_CODES } from '#lib/error-codes.ts'

export const invocationNotFound = defineProblem(
  'invocation_not_found',
  404,
  'There is no such invocation to complete',
  'Use the invocation_id and any X-Completion-Token that came with this action.',
)
export const invocationCompleted = defineProblem(
  'invocation_completed',
  409,
  'The invocation is completed already, with another result',
  'The first result counts. Sending that one again is answered with 200; no other one will be taken.',
)
export const invocationExpired = defineProblem(
  'invocation_expired',
  409,
  'The time to complete the invocation is over',
  'Its deadline has passed and it has failed, or what it belonged to is gone. Do not send it again.',
)

export const callNotFound = defineProblem(
  'call_not_found',
  404,
  'There is no such entry of the action log',
  'Check the id: GET /api/automation/event-log lists the entries of this tenant. Old ones are removed.',
)

export const completionRefused = defineProblem(
  'completion_refused',
  403,
  'The plugin is paused or disabled',
  'Send the result again when the plugin is active, while there is time to complete the invocation.',
)

/** The codes of an action's error, with the egress door's error classes. See docs/platform.md. */
export const ACTION_ERROR_CODES = [...CALL_ERROR_CODES, ...EGRESS_ERROR_CLASSES] as const

const OWN_CODES: ReadonlySet<string> = new Set(ACTION_ERROR_CODES)

/**
 * The code of a result: what the other side calls its error, or the service's own. A code of the table is always the
 * service's: where the other side uses the same name, it is told with whose it is, as `platform_timeout`.
 */
export function resultCode(
  { code, reportedCode }: { code: string; reportedCode: string | null },
  source: 'platform' | 'plugin',
): string {
  if (reportedCode === null) return code
  return OWN_CODES.has(reportedCode) ? `${source}_${reportedCode}` : reportedCode
}
