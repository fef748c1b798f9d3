import { Buffer } from 'node:buffer'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { methodNotAllowed, rateLimited, unsupportedMediaType } from '#infra/http/problems.ts'
import { BODY_PROBLEMS, OPEN_PROBLEMS } from '#infra/http/route-problems.ts'
import { answerSender } from '#infra/http/sender-handshake.ts'
import { Problem } from '#lib/api/problem.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { RateWindow } from '#lib/async/rate-window.ts'
import { now } from '#lib/clock.ts'
import type { HookVerification } from '#lib/flow/types.ts'
import type { WebhookSecrets } from '#modules/connection/index.ts'
import { saidDepth } from '#modules/event/index.ts'
import { flowNewer, flowOutdated } from '#modules/flow-engine/index.ts'
import { inletConflict, inletNotFound, inletUnready, inletUnverified } from './errors.ts'
import { asksByGet, challengeOf, isChallenge, signedHandshake, unsignedHandshake } from './handshake.ts'
import { hookRequest } from './hook-request.ts'
import { type InletContext, type OpenInlet, openInlet, receive } from './inlet-service.ts'
import { BODY_TYPES, BODY_TYPES_DETAIL, readHookBody } from './request-body.ts'
import {
  ChallengeQuery,
  HookBody,
  HookForm,
  HookParts,
  HookText,
  HookHeaders,
  HookParams,
  HookReceipt,
  PlainAnswer,
} from './schemas.ts'
import { deliveryId, verificationFault, type VerificationFault } from './verification.ts'

declare module 'fastify' {
  interface FastifyRequest {
    inlet: OpenInlet
  }
}

const tags = ['flows']
const MINUTE_MS = 60_000
/** The most requests that one inlet takes in a minute, in one process: more than a busy shop's webhooks, less than what hurts. */
const REQUESTS_PER_INLET = 600
/** URLs that never were, from one address: each costs a look-up. */
const MISSES_PER_ADDRESS = 60
const MAX_KEYS = 10_000
const NO_BODY = Buffer.alloc(0)
/** An answer has the origin of the console: a browser that shows it runs nothing of it. */
const SANDBOX = "default-src 'none'; sandbox"
const NOT_SECRET = { security: [], params: HookParams }
const HOOK_PROBLEMS = [...OPEN_PROBLEMS, inletNotFound, rateLimited, flowNewer, flowOutdated] as const
const UNVERIFIED = [inletUnverified, inletUnready] as const

/** The routes that the outside calls: an inlet, by its token. */
export function hookRoutes(app: FastifyInstance, ctx: InletContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()
  const limits = { limit: REQUESTS_PER_INLET, windowMs: MINUTE_MS, maxKeys: MAX_KEYS }
  const windows: Windows = { hits: new RateWindow(limits), tries: new RateWindow(limits) }
  const opened = openedBy(ctx, windows)
  app.decorateRequest('inlet', null as unknown as OpenInlet)
  // Before the body is read: who does not know a URL does not get to send us a megabyte.
  const onRequest = async (request: FastifyRequest): Promise<void> => {
    request.inlet = await opened(request)
  }
  app.setErrorHandler((error: FastifyError | Problem) => {
    throw error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE' ? unsupportedMediaType(BODY_TYPES_DETAIL) : error
  })
  // A signature is over the bytes: they are read once it has been looked at.
  app.removeAllContentTypeParsers()
  for (const type of BODY_TYPES) {
    app.addContentTypeParser(type, { parseAs: 'buffer' }, (_request, bytes, done) => done(null, bytes))
  }

  api.post(
    '/hooks/:token',
    {
      config: { rateLimit: false },
      onRequest,
      preValidation: async (request, reply) => takeBody(ctx, windows, request, reply),
      schema: {
        operationId: 'receiveHook',
        tags,
        summary: 'Start a flow by its webhook trigger',
        description:
          'The URL of an inlet, which the flow shows, is all that a sender needs, unless its trigger has `verify`: then ' +
          'it signs. The body is JSON or XML of any `+json` or `+xml` type, a form, `multipart/form-data` or text, of up to ' +
          "1 MiB; it is the execution's `trigger` once the trigger's filter lets it pass. The answer comes after the " +
          'execution is stored; the trigger may say another one by `answer`. With an `Idempotency-Key`, or the ' +
          `delivery id of its scheme, a request can be sent again safely. At most ${REQUESTS_PER_INLET} requests a minute.`,
        ...NOT_SECRET,
        headers: HookHeaders,
        body: {
          content: {
            'application/json': { schema: HookBody },
            'application/x-www-form-urlencoded': { schema: HookForm },
            'multipart/form-data': { schema: HookParts },
            'text/plain': { schema: HookText },
          },
        },
        response: {
          200: {
            ...PlainAnswer,
            description: 'The answer that the trigger says, or what a handshake of its scheme asks for',
          },
          202: ref(HookReceipt),
          204: Type.Null({ description: 'The same without a body' }),
          ...problems(...HOOK_PROBLEMS, ...BODY_PROBLEMS, ...UNVERIFIED, inletConflict),
        },
      },
    },
    async ({ inlet, headers, body, query }, reply) => {
      const { verify, answer, headerNames } = inlet
      const id = verify === undefined ? null : deliveryId(verify, headers, body)
      const key = id ?? headers['idempotency-key'] ?? headers['webhook-id'] ?? null
      const receipt = await receive(ctx, inlet, {
        body: body ?? null,
        request: hookRequest(headers, query, headerNames),
        key,
        causationDepth: saidDepth(headers),
        // What a scheme calls a delivery is the same one, though a repetition may count attempts in its body.
        isSameBody: id === null,
      })
      if (answer === undefined) return reply.code(202).send(receipt)
      if (answer.status === 204) return reply.code(204).send(null)
      return plain(reply.code(answer.status), answer.content_type, answer.body)
    },
  )

  api.get(
    '/hooks/:token',
    {
      config: { rateLimit: false },
      onRequest,
      schema: {
        operationId: 'answerHookChallenge',
        tags,
        summary: 'Answer a sender that looks whether the URL is there',
        description:
          'GET and HEAD are answered by `ok`, and start nothing. For inlets of the schemes `meta` and `websub`: ' +
          '`hub.challenge` is given back if `hub.mode` is subscribe, and `hub.verify_token` or `hub.topic` is right.',
        ...NOT_SECRET,
        querystring: ChallengeQuery,
        response: {
          200: { ...PlainAnswer, description: 'The challenge, or `ok`' },
          ...problems(...HOOK_PROBLEMS, ...UNVERIFIED),
        },
      },
    },
    async ({ inlet, query }, reply) => {
      const { verify } = inlet
      if (verify === undefined || !asksByGet(verify) || !isChallenge(query))
        return plain(reply, 'text/plain', 'ok')
      const answer = challengeOf(verify, await secretsOf(ctx, inlet.tenantId, verify), query)
      if (typeof answer !== 'string') throw unverified(answer)
      return plain(reply, 'text/plain', answer)
    },
  )

  api.options(
    '/hooks/:token',
    {
      config: { rateLimit: false, cors: { preflightContinue: true } },
      onRequest,
      schema: {
        operationId: 'allowHooks',
        tags,
        summary: 'Answer the handshake of CloudEvents senders at an inlet',
        description:
          'HTTP 1.1 Web Hooks for Event Delivery, 4, for inlets of the scheme `cloudevents`: the origin may send, with the ' +
          'token. A WebHook-Request-Callback is not called: the answer is given here. Others know no OPTIONS.',
        ...NOT_SECRET,
        response: {
          200: Type.Null({ description: 'Events are taken here' }),
          ...problems(...HOOK_PROBLEMS, methodNotAllowed),
        },
      },
    },
    async (request, reply) => {
      const { verify } = request.inlet
      if (verify?.scheme !== 'cloudevents') throw notAllowed(verify)
      return answerSender(request, reply, { allow: allowedMethods(verify), rate: String(REQUESTS_PER_INLET) })
    },
  )
}

/** Verifies the bytes that came, and puts what they say in their place; a handshake is answered at once. */
async function takeBody(
  ctx: InletContext,
  { hits }: Windows,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const { headers, query, inlet } = request
  const { verify, tenantId } = inlet
  const bytes = (request.body as Buffer | undefined) ?? NO_BODY
  if (verify !== undefined) {
    const sent = { headers, query, bytes }
    const ping = unsignedHandshake(verify, sent)
    if (ping !== null) return plain(reply, 'text/plain', ping)
    const { secrets } = await secretsOf(ctx, tenantId, verify)
    const fault = verificationFault(verify, secrets, sent, Math.floor(now() / 1_000))
    if (fault !== null) throw unverified(fault)
    const waitSeconds = hits.take((request.params as { token: string }).token)
    if (waitSeconds !== null) throw tooMany(waitSeconds)
  }
  request.body = await readHookBody(headers['content-type'], bytes)
  const challenge = verify === undefined ? null : signedHandshake(verify, headers, request.body)
  return challenge === null ? undefined : plain(reply, 'text/plain', challenge)
}

/** @throws `inlet_unready` */
async function secretsOf(
  { connections }: InletContext,
  tenantId: string,
  { connection }: HookVerification,
): Promise<WebhookSecrets> {
  const secrets = await connections.webhookSecrets(tenantId, connection)
  if (secrets === null) throw inletUnready(undefined, { headers: { 'retry-after': '60' } })
  return secrets
}

function unverified(fault: VerificationFault): Error {
  return inletUnverified(undefined, { errors: [fault] })
}

function notAllowed(verify: HookVerification | undefined): Error {
  return methodNotAllowed(undefined, { headers: { allow: allowedMethods(verify) } })
}

function allowedMethods(verify: HookVerification | undefined): string {
  return ['POST', 'GET', 'HEAD', ...(verify?.scheme === 'cloudevents' ? ['OPTIONS'] : [])].join(', ')
}

function plain(reply: FastifyReply, type: string, text: string): FastifyReply {
  return reply.type(type).header('content-security-policy', SANDBOX).send(Buffer.from(text))
}

interface Windows {
  /** By token: what an inlet takes. Of one that verifies, what is verified. */
  hits: RateWindow
  /** By token and address, of inlets that verify: who cannot sign does not use up what the sender has. */
  tries: RateWindow
}

/** Finds the inlet of a request, within the limits. An address that only guesses stops costing look-ups. */
function openedBy(
  ctx: InletContext,
  { hits, tries }: Windows,
): (request: FastifyRequest) => Promise<OpenInlet> {
  const misses = new RateWindow({ limit: MISSES_PER_ADDRESS, windowMs: MINUTE_MS, maxKeys: MAX_KEYS })
  return async ({ params, ip }) => {
    const { token } = params as { token: string }
    const own = `${token} ${ip}`
    const isKnown = hits.counted(token) > 0 || tries.counted(own) > 0
    const waitSeconds = isKnown ? (hits.exhausted(token) ?? tries.exhausted(own)) : misses.exhausted(ip)
    if (waitSeconds !== null) throw tooMany(waitSeconds)
    const inlet = await openInlet(ctx, token).catch((error: unknown) => {
      if (error instanceof Problem && error.code === inletNotFound.code) misses.take(ip)
      throw error
    })
    const late = inlet.verify === undefined ? hits.take(token) : tries.take(own)
    if (late !== null) throw tooMany(late)
    return inlet
  }
}

function tooMany(waitSeconds: number): Error {
  return rateLimited(undefined, { headers: { 'retry-after': String(waitSeconds) } })
}
