import { Buffer } from 'node:buffer'
import type { FlowScope } from '#lib/flow/scope.ts'
import type { ActionContext } from '#modules/dispatcher/index.ts'
import type { CallName } from './call.ts'

/** Most events are some kilobytes; whoever needs a larger one reads it by its id. */
const DATA_MAX_BYTES = 64 * 1024

/** Returns what a plugin is told with a flow's action: the same for every repetition of the call. */
export function actionContext({ stepId, iteration }: CallName, scope: FlowScope): ActionContext {
  const { execution, event } = scope
  const data = scope.trigger ?? null
  const omitted = Buffer.byteLength(JSON.stringify(data)) > DATA_MAX_BYTES
  return {
    flow_id: execution.flow_id,
    flow_version: execution.version,
    step_id: stepId,
    iteration: iteration === '' ? null : Number(iteration),
    error: execution.error,
    trigger: {
      event: event?.type ?? null,
      event_id: event?.id ?? null,
      data: omitted ? null : data,
      data_omitted: omitted,
    },
  }
}
