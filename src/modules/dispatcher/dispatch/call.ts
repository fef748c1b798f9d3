import { setTimeout as delay } from 'node:timers/promises'
import {
  ACTION_RESPONSE_MAX_BYTES,
  type ActionCallResult,
  notAsked,
  readActionResponse,
} from '#lib/action-call.ts'
import { sourceOf } from '#lib/json/source.ts'
import { stringifyWritten, WrittenJson } from '#lib/json/written.ts'
import { headerValues } from '#lib/secrets/echo.ts'
import { now } from '#lib/clock.ts'
import { resolveEndpoint } from '#lib/endpoint.ts'
import type { Lease } from './claim-repository.ts'
import { newCompletionToken } from '../completion/token.ts'
import { platformPath } from './platform-path.ts'
import { CAUSATION_TOKEN_HEADER, causationToken } from '#modules/event/index.ts'
import { type Busy, type DeliveryTarget, isBusy } from '#modules/webhook-delivery/index.ts'
import type { DispatcherContext } from '../context.ts'
import type { PlannedAction } from '../types.ts'

/** The end of one action's call, over all its attempts. */
export interface CallOutcome {
  result: ActionCallResult
  /** 0: it was not made, as the plugin takes no more for now. */
  attempts: number
}

/** Under what an action is called. */
export interface CallClaim {
  tenantId: string
  invocationId: string
  /** Microseconds of the database's clock. */
  claimedAt: number
  /** Null: its caller answers for it, and there is no row before the answer. */
  lease: Lease | null
  /** Milliseconds that each attempt may wait for the plugin's limits. */
  turnMs: number
}

/** Clocks of the processes that call and that hear of the completion may differ by so much. */
const CLOCK_SLACK_MS = 60_000

/** Of these a Retry-After is about the plugin and not about one request, as with deliveries. */
const ASKS_FOR_PATIENCE: ReadonlySet<number | null> = new Set([429, 503])
/** The code of a call that was not made, as the plugin takes no more for now. */
export const PLUGIN_BUSY = 'plugin_busy'

const DEFAULT_TIMEOUT_MS = 10_000
const DEFAULT_RETRIES = 2
const RETRY_BASE_MS = 250
/** A caller waits for the answer: a longer Retry-After is its business, or the flow engine's. */
const RETRY_MAX_MS = 5_000

/**
 * Calls an action until it answers for good. It is called again only where that cannot do it twice: the action is
 * idempotent, or no byte of the request had left. Every attempt carries the same Idempotency-Key.
 */
export async function callAction(
  ctx: DispatcherContext,
  claim: CallClaim,
  planned: PlannedAction,
): Promise<CallOutcome> {
  const maxRetries = planned.request.maxRetries ?? DEFAULT_RETRIES
  let last: ActionCallResult | null = null
  for (let attempts = 1; ; attempts++) {
    const result = await callOnce(ctx, claim, planned)
    if (isBusyResult(result)) return { result: last ?? result, attempts: attempts - 1 }
    last = result
    if (result.ok || attempts > maxRetries || !result.transient) return { result, attempts }
    if (!planned.action.idempotent && result.bytesSent) return { result, attempts }
    const pause = Math.max(
      RETRY_BASE_MS * 2 ** (attempts - 1) * (0.8 + 0.4 * Math.random()),
      result.retryAfterMs ?? 0,
    )
    if (pause > RETRY_MAX_MS) return { result, attempts }
    await delay(pause)
    if (claim.lease !== null && !(await ctx.store.isHeld(claim.lease))) return { result, attempts }
  }
}

async function callOnce(
  ctx: DispatcherContext,
  claim: CallClaim,
  planned: PlannedAction,
): Promise<ActionCallResult> {
  const { action, request, idempotencyKey } = planned
  const timeoutMs = request.timeoutMs ?? action.timeout_ms ?? DEFAULT_TIMEOUT_MS
  if (action.source === 'plugin') return callPlugin(ctx, claim, planned, timeoutMs)
  return ctx.platform.call(claim.tenantId, {
    method: action.method,
    path: platformPath(action, request.payload),
    body: request.payload,
    idempotencyKey,
    causationDepth: request.causationDepth,
    causationId: request.causationId,
    idempotent: action.idempotent,
    timeoutMs,
  })
}

/** Tells a call that was not made because its plugin takes no more for now. */
function isBusyResult(result: ActionCallResult): boolean {
  return !result.ok && result.status === null && result.code === PLUGIN_BUSY
}

/** Calls a plugin when its limits allow it, which hold for all that it is sent. */
async function callPlugin(
  ctx: DispatcherContext,
  claim: CallClaim,
  planned: PlannedAction,
  timeoutMs: number,
): Promise<ActionCallResult> {
  const found = await usableTarget(ctx, claim.tenantId, planned)
  if ('refused' in found) return found.refused
  const request = { waitMs: claim.turnMs, by: planned.request.dispatchedBy ?? null }
  const begun = ctx.deliveries.limits.beginCall(found.target, request)
  const answer = begun instanceof Promise ? await begun : begun
  if (isBusy(answer)) return pluginBusy(answer)
  let retryAfterMs: number | null = null
  try {
    // It may have changed while its turn was waited for.
    const current = begun instanceof Promise ? await usableTarget(ctx, claim.tenantId, planned) : found
    if ('refused' in current) return current.refused
    // A process that was frozen while it waited may have lost it: what follows finds out who has it.
    const isHeld =
      claim.lease === null || !(begun instanceof Promise) || (await ctx.store.isHeld(claim.lease))
    if (!isHeld) return notAsked('in_progress', 'Another request has taken this over.')
    const result = await send(ctx, claim, planned, { target: current.target, timeoutMs })
    if (!result.ok && ASKS_FOR_PATIENCE.has(result.status)) retryAfterMs = result.retryAfterMs
    return result
  } finally {
    answer.end(retryAfterMs)
  }
}

/** Returns the plugin as it is now, or why it cannot be called. */
async function usableTarget(
  ctx: DispatcherContext,
  tenantId: string,
  planned: PlannedAction,
): Promise<{ target: DeliveryTarget } | { refused: ActionCallResult }> {
  const target = await targetOf(ctx, tenantId, planned)
  if (target === undefined) {
    return { refused: notAsked('unknown_plugin', 'The plugin was removed meanwhile.') }
  }
  if (target === 'unreadable') {
    const message =
      "A stored secret of the plugin cannot be opened: rotate the plugin's secret, and send its headers and client certificate again."
    return { refused: notAsked('secret_unreadable', message) }
  }
  if (!target.active) {
    return { refused: notAsked('plugin_inactive', `The plugin "${target.slug}" is not active.`) }
  }
  return { target }
}

function pluginBusy({ reason, retryAfterMs }: Busy): ActionCallResult {
  const why = {
    in_flight: 'has as many requests under way as its max_in_flight allows',
    rate: 'gets as many requests a second as its rate limit allows',
    retry_after: 'has asked for patience by a Retry-After',
  }[reason]
  const seconds = Math.ceil(retryAfterMs / 1_000)
  const message = `The plugin ${why}: send the request again, in ${seconds} s at the earliest.`
  return notAsked(PLUGIN_BUSY, message, { transient: true, retryAfterMs })
}

async function send(
  ctx: DispatcherContext,
  { tenantId, invocationId, claimedAt, lease }: CallClaim,
  { action, request, idempotencyKey }: PlannedAction,
  { target, timeoutMs }: { target: DeliveryTarget; timeoutMs: number },
): Promise<ActionCallResult> {
  const url = action.endpoint === null ? target.url : resolveEndpoint(target.baseUrl, action.endpoint)
  if (url === null) return notAsked('blocked', 'The endpoint leaves the origin that the plugin registered.')
  const written = sourceOf(request.payload)
  const body = stringifyWritten({
    // For plugins that read the payload's members from the top, as the platform's engine sent them: docs/adr/0012.
    ...request.payload,
    action_type: action.action_type,
    tenant_id: tenantId,
    flow_execution_id: request.flowExecutionId,
    invocation_id: invocationId,
    payload: written === undefined ? request.payload : new WrittenJson(written),
    // Absent where there is none, even if the payload has a member of that name.
    context: request.context ?? undefined,
  })
  const token = newCompletionToken(ctx.secretBox, {
    tenantId,
    invocationId,
    claimedAt,
    pluginId: target.pluginId,
    secretId: target.secretId,
    early:
      lease === null
        ? {
            until: now() + timeoutMs + ctx.completionSeconds * 1_000 + CLOCK_SLACK_MS,
            flowExecutionId: request.flowExecutionId,
            eventKey: request.eventKey,
            actionType: request.actionType,
            pluginId: action.plugin_id,
          }
        : null,
  })
  const causation =
    request.causationDepth > 0
      ? causationToken(ctx.secretBox, target, { id: request.causationId, depth: request.causationDepth })
      : null
  const response = await ctx.egress.request({
    method: action.method,
    url,
    headers: {
      ...ctx.deliveries.signedHeaders(target, { id: invocationId, body }),
      accept: 'application/json',
      'idempotency-key': idempotencyKey,
      'x-completion-token': token,
      ...(causation !== null && {
        'x-causation-depth': String(request.causationDepth),
        [CAUSATION_TOKEN_HEADER]: causation,
      }),
      ...(request.causationId !== null && { 'x-causation-id': request.causationId }),
    },
    body,
    timeoutMs,
    resend: action.idempotent,
    maxResponseBytes: ACTION_RESPONSE_MAX_BYTES,
    party: tenantId,
    clientCertificate: target.clientCertificate ?? undefined,
    secrets: [token, ...(causation === null ? [] : [causation]), ...headerValues(target.headers)],
  })
  return readActionResponse(response)
}

/** Asks for the plugin ahead of its call, while something else is waited for. */
export function lookAhead(ctx: DispatcherContext, tenantId: string, planned: PlannedAction): void {
  const { plugin_id: pluginId } = planned.action
  if (pluginId === null) return
  planned.target = ctx.targets.get(`${tenantId} ${pluginId}`, () => ctx.deliveries.target(tenantId, pluginId))
  // Nobody may come to want it.
  planned.target.catch(() => undefined)
}

/** As of after the call before it, or of now for a further attempt. */
async function targetOf(
  ctx: DispatcherContext,
  tenantId: string,
  planned: PlannedAction,
): Promise<DeliveryTarget | 'unreadable' | undefined> {
  if (planned.target === null) lookAhead(ctx, tenantId, planned)
  const { target } = planned
  planned.target = null
  return target ?? undefined
}
