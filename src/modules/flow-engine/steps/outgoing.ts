import { readActionResponse } from '#lib/action-call.ts'
import type { FlowScope } from '#lib/flow/scope.ts'
import { secretHeaderValues, withoutEchoes } from '#lib/secrets/echo.ts'
import { callSecrets } from '#lib/secrets/redact-call.ts'
import type { ActionStep, HttpStep } from '#lib/flow/types.ts'
import type { ActionResult } from '#modules/dispatcher/index.ts'
import { actionContext } from './action-context.ts'
import { render, renderText, renderUrlText, StepError } from '../run/evaluate.ts'
import { messageCall } from './message-call.ts'
import type { RunCalls } from '../run/ports.ts'
import type { Program } from '../run/program.ts'
import { actionTarget } from './target.ts'
import type { Call, CallContext, CallName, CallResult, CallStep } from './types.ts'

const PLATFORM = 'platform'

/** Told to whoever is called, to be handed back with the events that come of it. */
interface Causation {
  /** The event that started the execution; null: none did. */
  id: string | null
  /** Automations between the call and what a person or system did first. */
  depth: number
}

/** The outside, as calls reach it. */
export function callsOf(ctx: CallContext): RunCalls {
  return {
    send: (call, eventDepth, mayHaveRun) => call.send(ctx, eventDepth, mayHaveRun),
    completed: async (call) => {
      const result = await completedAction(ctx, call.name)
      return result === null || call.conclude === undefined ? result : call.conclude(ctx, result)
    },
  }
}

/**
 * Fills a call in, and asks nobody. @param asOf what `now` is in its templates: the same for every repetition.
 * @throws {StepError}
 */
export function callOf(program: Program, step: CallStep, name: CallName, scope: FlowScope, asOf: Date): Call {
  const eventId = scope.event?.id ?? null
  if (step.type === 'http') {
    const input = httpInput(program, step, scope, asOf)
    const timeoutMs = step.timeout_ms ?? program.flow.settings.timeout_ms
    return {
      name,
      step,
      target: originOf(input.url) ?? 'http',
      input,
      send: (ctx, eventDepth) =>
        callHttp(ctx, name, input, timeoutMs, { id: eventId, depth: eventDepth + 1 }),
    }
  }
  if (step.type === 'message') {
    const action = { config: step.config.send_with, timeout_ms: step.timeout_ms }
    return messageCall(program, step, name, scope, asOf, (ctx, payload, eventDepth, mayHaveRun) =>
      callAction(ctx, name, action, payload, { scope, eventDepth }, mayHaveRun),
    )
  }
  const input = render(program, step.config.input, scope, asOf) as Record<string, unknown>
  return {
    name,
    step,
    target: actionTarget(step.config),
    input,
    send: (ctx, eventDepth, mayHaveRun) =>
      callAction(ctx, name, step, input, { scope, eventDepth }, mayHaveRun),
  }
}

/** Answers of those who are busy or down, whatever they are asked. A 500 may be about one request alone. */
const AWAY_STATUS = new Set([429, 502, 503, 504])
const AWAY_CODES = new Set([
  'breaker_open',
  'plugin_inactive',
  'connect_refused',
  'connect_timeout',
  'dns_error',
  'tls_error',
])

/** @param code only without an answer: an answer's may be the other side's own */
function isAway(status: number | null, code: string): boolean {
  return status === null ? AWAY_CODES.has(code) : AWAY_STATUS.has(status)
}

async function callAction(
  ctx: CallContext,
  name: CallName,
  step: Pick<ActionStep, 'config' | 'timeout_ms'>,
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

interface HttpRequestInput {
  method: string
  url: string
  headers: Record<string, string>
  body: unknown
}

function httpInput(program: Program, step: HttpStep, scope: FlowScope, now: Date): HttpRequestInput {
  const { method, url, headers, body } = step.config
  const rendered = renderUrlText(program, url, scope, now)
  if (originOf(rendered) !== originOf(url.replaceAll(/\{\{.*?\}\}/gs, 'x'))) {
    throw new StepError('blocked', 'The URL left the host that the flow names.')
  }
  return {
    method,
    url: rendered,
    headers: Object.fromEntries(
      Object.entries(headers).map(([header, value]) => [
        header.toLowerCase(),
        renderText(program, value, scope, now),
      ]),
    ),
    body: body === null ? null : render(program, body, scope, now),
  }
}

const HTTP_RESPONSE_MAX_BYTES = 256 * 1024

async function callHttp(
  ctx: CallContext,
  name: CallName,
  input: HttpRequestInput,
  timeoutMs: number,
  causation: Causation,
): Promise<CallResult> {
  const { body } = input
  const response = await ctx.egress.request({
    method: input.method,
    url: input.url,
    headers: {
      ...(body !== null && { 'content-type': typeof body === 'string' ? 'text/plain' : 'application/json' }),
      ...input.headers,
      'idempotency-key': `${name.executionId}:${eventKey(name)}`,
      'x-causation-depth': String(causation.depth),
      ...(causation.id !== null && { 'x-causation-id': causation.id }),
    },
    body: body === null ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    timeoutMs,
    maxResponseBytes: HTTP_RESPONSE_MAX_BYTES,
    party: name.tenantId,
    secrets: secretHeaderValues(input.headers),
  })
  // A failure is also the execution's, which does not tell what was sent.
  const read = readActionResponse(response, (text) => withoutEchoes(text, callSecrets(input)))
  if (read.ok) return { kind: 'success', output: { status: read.status, body: read.data } }
  // An answer need not be JSON to be a success here.
  if (read.code === 'invalid_response') {
    return { kind: 'success', output: { status: response.status, body: response.body } }
  }
  const { code, message, transient, retryAfterMs } = read
  return {
    kind: 'failure',
    code,
    message,
    transient,
    answered: read.status !== null,
    away: isAway(read.status, code),
    retryAfterMs,
  }
}

function toCallResult(result: ActionResult): CallResult {
  if (result.status === 'accepted') return { kind: 'accepted' }
  if (result.success) return { kind: 'success', output: result.data }
  const code = result.error?.code ?? 'action_failed'
  return {
    kind: 'failure',
    code,
    message: result.error?.message ?? 'The action failed.',
    // A plugin that is paused is resumed some time; who dispatches an action is told at once.
    transient: result.transient || code === 'plugin_inactive',
    answered: result.responseStatus !== null,
    away: isAway(result.responseStatus, code),
    retryAfterMs: result.retryAfterMs,
  }
}

function eventKey({ stepId, iteration }: CallName): string {
  return iteration === '' ? stepId : `${stepId}:${iteration}`
}

function originOf(url: string): string | null {
  return URL.parse(url)?.origin ?? null
}
