import type { FlowSchemaVersion, Trigger } from './elements.ts'
import { type CanonicalStep, definitionOf } from './steps/index.ts'

/** `verify`, `answer` and `headers` of an inlet: releases before do not see them, and would take unsigned requests for it. */
const GUARDS_SINCE: FlowSchemaVersion = 2

/** Returns the lowest form of canonical flows whose releases may run a flow: they know all of its triggers and steps. */
export function schemaVersionOf(
  triggers: readonly Trigger[],
  steps: readonly Pick<CanonicalStep, 'type'>[],
): FlowSchemaVersion {
  const versions = steps.map(({ type }) => definitionOf(type).since)
  if (triggers.some(isGuarded)) versions.push(GUARDS_SINCE)
  return versions.reduce((highest, version) => (version > highest ? version : highest), 1)
}

function isGuarded(trigger: Trigger): boolean {
  return (
    trigger.type === 'webhook' &&
    (trigger.verify !== undefined || trigger.answer !== undefined || trigger.headers !== undefined)
  )
}
