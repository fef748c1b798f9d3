import { EGRESS_ERROR_CLASSES } from '../../infra/egress.ts'
import { defineProblem } from '../../lib/problem.ts'

export const invocationNotFound = defineProblem(
  'invocation_not_found',
  404,
  'There is no such invocation to complete',
  'Use the id and the token that came with the action; a token completes its invocation once.',
)
export const invocationNotAccepted = defineProblem(
  'invocation_not_accepted',
  409,
  'The invocation does not wait for completion',
  'Only what was answered with 202 is completed, once, before its deadline.',
)

/** What an action's result can say went wrong, beside the egress door's error classes. See docs/platform.md. */
export const ACTION_ERROR_CODES = [
  'unknown_action',
  'unknown_plugin',
  'plugin_inactive',
  'ambiguous_action',
  'missing_field',
  'invalid_payload',
  'event_key_conflict',
  'in_progress',
  'interrupted',
  'invalid_response',
  'breaker_open',
  'platform_not_configured',
  'completion_timeout',
  'reported_failure',
  ...EGRESS_ERROR_CLASSES,
] as const

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
