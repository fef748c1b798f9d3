import type { FlowSchemaVersion, Trigger } from './types.ts'

/**
 * Returns the lowest form of canonical flows whose releases may run a flow with these triggers. Releases that know
 * form 1 alone do not see an inlet's `verify`, `answer` and `headers`: they would take unsigned requests for it.
 */
export function schemaVersionOf(triggers: readonly Trigger[]): FlowSchemaVersion {
  const isGuarded = triggers.some(
    (trigger) =>
      trigger.type === 'webhook' &&
      (trigger.verify !== undefined || trigger.answer !== undefined || trigger.headers !== undefined),
  )
  return isGuarded ? 2 : 1
}
