import { readActionResponse } from '#lib/action-call.ts'
import type { FlowScope } from '#lib/flow/scope.ts'
import type { HttpStep } from '#lib/flow/steps/http.ts'
import { render, renderText, renderUrlText, StepError } from '../run/evaluate.ts'
import type { Program } from '../run/program.ts'
import { callRunner } from './call-runner.ts'
import { type CallContext, type CallName, type CallResult, eventKey } from './call.ts'
import { isAwayAnswer } from './hold-back.ts'

export const httpRunner = callRunner<HttpStep>(({ program, step, name, scope, asOf }) => {
  const input = httpInput(program, step, scope, asOf)
  const { method, url } = input
  const timeoutMs = step.timeout_ms ?? program.flow.settings.timeout_ms
  const id = scope.event?.id ?? null
  return {
    name,
    target: originOf(url) ?? 'http',
    input,
    intent: { kind: 'http', method, url },
    send: (ctx, eventDepth) => callHttp(ctx, name, input, timeoutMs, { id, depth: eventDepth + 1 }),
    rehearse: () => ({ output: { status: 200, body: {} }, note: 'the output is made up' }),
  }
})

/** Told to whoever is called, to be handed back with the events that come of it. */
interface Causation {
  /** The event that started the execution; null: none did. */
  id: string | null
  /** Automations between the call and what a person or system did first. */
  depth: number
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
  })
  const read = readActionResponse(response)
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
    away: isAwayAnswer(read.status, code),
    retryAfterMs,
  }
}

function originOf(url: string): string | null {
  return URL.parse(url)?.origin ?? null
}
