import { PLATFORM } from '#lib/flow/resolve-action.ts'
import type { FlowScope } from '#lib/flow/scope.ts'
import type { ActionConfig } from '#lib/flow/types.ts'
import { type ActionResult, isPluginBusy } from '#modules/dispatcher/index.ts'
import type { RunCalls } from '../run/ports.ts'
import { actionContext } from './action-context.ts'
import { type CallContext, type CallName, type CallResult, eventKey } from './call.ts'
import { isAwayAnswer } from './hold-back.ts'

/** Calls the outside, as executions do. */
export function liveCalls(ctx: CallContext): RunCalls {
  return {
    send: (call, eventDepth, mayHaveRun) => call.send(ctx, eventDepth, mayHaveRun),
    completed: async (call) => {
      const result = await completedAction(ctx, call.name)
      return result === null || call.conclude === undefined ? result : call.conclude(ctx, result)
    },
  }
}

/** Has the dispatcher do a flow's action, once. */
export async function dispatchFlowAction(
  ctx: CallContext,
  name: CallName,
  step: { config: ActionConfig; timeout_ms: number | null },
  payload: Record<string, unknown>,
  { scope, eventDepth }: { scope: FlowScope; eventDepth: number },
  mayHaveRun: boolean,
): Promise<CallResult> {
  const result = await ctx.dispatcher.runAction(name.tenantId, {
    flowExecutionId: name.executionId,
    eventKey: eventKey(name),
    actionType: step.config.action_type,
    pluginRef: step.config.plugin_id,
    payload,
    timeoutMs: step.timeout_ms,
    // A durable back-off is the engine's own: the process may die while waiting.
    maxRetries: 0,
    causationDepth: eventDepth + 1,
    causationId: scope.event?.id ?? null,
    context: step.config.plugin_id === PLATFORM ? null : actionContext(name, scope),
    mayHaveRun,
  })
  return toCallResult(result)
}

/** Looks after an action that was accepted. Null: it is not completed yet. */
async function completedAction(ctx: CallContext, name: CallName): Promise<CallResult | null> {
  const result = await ctx.dispatcher.findResult(name.tenantId, name.executionId, eventKey(name))
  return result === null || result.status === 'accepted' ? null : toCallResult(result)
}

function toCallResult(result: ActionResult): CallResult {
  if (result.status === 'accepted') return { kind: 'accepted' }
  if (result.success) return { kind: 'success', output: result.data }
  const code = result.error?.code ?? 'action_failed'
  const message = result.error?.message ?? 'The action failed.'
  if (isPluginBusy(result)) return { kind: 'busy', code, message, retryAfterMs: result.retryAfterMs ?? 0 }
  return {
    kind: 'failure',
    code,
    message,
    // A plugin that is paused is resumed some time; who dispatches an action is told at once.
    transient: result.transient || code === 'plugin_inactive',
    answered: result.responseStatus !== null,
    away: isAwayAnswer(result.responseStatus, code),
    retryAfterMs: result.retryAfterMs,
  }
}
