import type { EgressResponse } from '#infra/egress/index.ts'
import { readActionResponse } from '#lib/action-call.ts'
import type { FlowScope } from '#lib/flow/scope.ts'
import type { HttpStep } from '#lib/flow/steps/http.ts'
import { secretHeaderValues, valueWithoutEchoes, withoutEchoes } from '#lib/secrets/echo.ts'
import { callSecrets } from '#lib/secrets/redact-call.ts'
import { type Authorisation, type AuthorisationFault, withParameter } from '#modules/connection/index.ts'
import { render, renderText, renderUrlText, StepError } from '../run/evaluate.ts'
import type { Program } from '../run/program.ts'
import { callRunner } from './call-runner.ts'
import { type CallContext, type CallName, type CallResult, eventKey } from './call.ts'
import { isAwayAnswer } from './hold-back.ts'
import { originOf, requestTarget } from './target.ts'

export const httpRunner = callRunner<HttpStep>(({ program, step, name, scope, asOf }) => {
  const input = httpInput(program, step, scope, asOf)
  const { method, url } = input
  const timeoutMs = step.timeout_ms ?? program.flow.settings.timeout_ms
  const id = scope.event?.id ?? null
  return {
    name,
    target: requestTarget(url),
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
  /** The connection that it uses: only its name. */
  connection?: string
}

function httpInput(program: Program, step: HttpStep, scope: FlowScope, now: Date): HttpRequestInput {
  const { method, url, headers, body, connection } = step.config
  const rendered = renderUrlText(program, url, scope, now)
  if (originOf(rendered) !== originOf(url.replace(/\{[{%].*/s, ''))) {
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
    ...(connection !== undefined && { connection }),
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
  if (input.connection === undefined) {
    return readHttp(await sendHttp(ctx, name, input, timeoutMs, causation, null), input)
  }
  const deadline = performance.now() + timeoutMs
  const leftMs = (): number => Math.max(1, Math.floor(deadline - performance.now()))
  const authorise = (refused: string | null): Promise<Authorisation | AuthorisationFault> =>
    ctx.connections.authorise(name.tenantId, input.connection ?? '', {
      url: input.url,
      timeoutMs: leftMs(),
      refused,
    })
  let by = await authorise(null)
  if ('code' in by) return unauthorised(by)
  let response = await sendHttp(ctx, name, input, leftMs(), causation, by)
  if (response.status === 401 && by.token !== null) {
    // The other side may have ended it before its time: nothing was done by it.
    by = await authorise(by.token)
    if ('code' in by) return unauthorised(by)
    response = await sendHttp(ctx, name, input, leftMs(), causation, by)
  }
  return readHttp(response, input, by.secrets)
}

function sendHttp(
  ctx: CallContext,
  name: CallName,
  { method, url, headers, body }: HttpRequestInput,
  timeoutMs: number,
  causation: Causation,
  by: Authorisation | null,
): Promise<EgressResponse> {
  return ctx.egress.request({
    method,
    url: withParameter(url, by?.parameter ?? null),
    headers: {
      ...(body !== null && { 'content-type': typeof body === 'string' ? 'text/plain' : 'application/json' }),
      ...headers,
      ...by?.headers,
      'idempotency-key': `${name.executionId}:${eventKey(name)}`,
      'x-causation-depth': String(causation.depth),
      ...(causation.id !== null && { 'x-causation-id': causation.id }),
    },
    body: body === null ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    timeoutMs,
    maxResponseBytes: HTTP_RESPONSE_MAX_BYTES,
    party: name.tenantId,
    secrets: [...secretHeaderValues(headers), ...(by?.secrets ?? [])],
  })
}

/** @param secrets that the other side was told, and may repeat */
function readHttp(
  response: EgressResponse,
  input: HttpRequestInput,
  secrets: readonly string[] = [],
): CallResult {
  // A failure is also the execution's, which does not tell what was sent.
  const hidden = [...secrets, ...callSecrets(input)]
  const read = readActionResponse(response, (text) => withoutEchoes(text, hidden))
  if (read.ok) {
    return { kind: 'success', output: { status: read.status, body: valueWithoutEchoes(read.data, secrets) } }
  }
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

function unauthorised(fault: AuthorisationFault): CallResult {
  const { code, message, status, networkCode, transient, retryAfterMs } = fault
  return {
    kind: 'failure',
    code,
    message,
    transient,
    answered: status !== null,
    away: transient && isAwayAnswer(status, networkCode ?? code),
    retryAfterMs,
  }
}
