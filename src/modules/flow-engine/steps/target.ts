import type { ActionStep } from '#lib/flow/types.ts'

/** Whom a step asks for what, as `Call.target` says. */
export function actionTarget({ plugin_id, action_type }: ActionStep['config']): string {
  return `${plugin_id} ${action_type}`
}
