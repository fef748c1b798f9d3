import fp from 'fastify-plugin'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { isPassing, isRefusing, isUnavailable } from '#db/errors.ts'
import { defineProblem, type FieldError, Problem } from '#lib/api/problem.ts'
import { Problem as ProblemSchema } from '#lib/api/schema.ts'
import { hasUnreadBody } from './unread-body.ts'

export const invalidRequest = defineProblem(
  'invalid_request',
  400,
  'The request is not valid',
  'See errors: each entry names a field and what it must be.',
)
export const invalidJson = defineProblem(
  'invalid_json',
  400,
  'The body is not acceptable JSON',
  'Send UTF-8 JSON, at most 64 levels deep, without NUL, lone surrogates, duplicate or __proto__ keys.',
)
export const invalidCursor = defineProblem(
  'invalid_cursor',
  400,
  'The cursor is not one of ours',
  'Send next_cursor of the page before, unchanged, or leave it out.',
)
export const routeNotFound = defineProblem(
  'route_not_found',
  404,
  'There is no such route',
  'See /docs for every path and method.',
)
export const methodNotAllowed = defineProblem(
  'method_not_allowed',
  405,
  'This path does not know the method',
  'The Allow header lists the methods it knows.',
)
export const payloadTooLarge = defineProblem(
  'payload_too_large',
  413,
  'The body is too large',
  'Send at most 1 MiB, or 8 MiB to POST /api/events.',
)
export const headersTooLarge = defineProblem(
  'headers_too_large',
  431,
  'The request line and headers are too large',
  'Send at most 16 KiB of them.',
)
export const unsupportedMediaType = defineProblem(
  'unsupported_media_type',
  415,
  'The content type is not supported',
  'Send application/json.',
)
export const requestTimeout = defineProblem(
  'request_timeout',
  408,
  'The request did not arrive in time',
  'Send the whole request within 30 seconds.',
)
export const rateLimited = defineProblem(
  'rate_limited',
  429,
  'Too many requests',
  'Wait as long as Retry-After says.',
)
export const databaseUnavailable = defineProblem(
  'database_unavailable',
  503,
  'The database cannot be reached or takes no writes',
  'Send the request again after Retry-After. An event with an id of its own is stored once, however often it is sent.',
)
export const overloaded = defineProblem(
  'overloaded',
  503,
  'The service is overloaded',
  'Nothing was stored. Send the request again after Retry-After.',
)
const internalError = defineProblem(
  'internal_error',
  500,
  'Something went wrong here',
  'This is our fault. Report request_id.',
)

const REFUSING =
  'The database is there, and somebody has to put it right. Nothing was stored. Send the request again after Retry-After.'
/** Seconds: that takes longer than a restart. */
const REFUSING_HEADERS = { 'retry-after': '5' }

/** Turns whatever is thrown into one problem, and says how to answer requests that no route takes. */
export interface ProblemsOptions {
  /** The page that a browser at the root is led to. */
  home?: string
}

export default fp(
  async (app, { home = '/docs' }: ProblemsOptions) => {
    app.addSchema(ProblemSchema)
    app.setErrorHandler((error: FastifyError | Problem, request, reply) => {
      const problem = toProblem(error)
      if (error instanceof Problem && error.status === 503 && error.cause === undefined) {
        // Said on purpose, such as that a shop has yet to put something right: no fault of the service, and no stack.
        request.log.warn({ problem: problem.code }, 'request not taken')
      } else if (problem.status >= 500) logServerError(request, error, problem)
      return sendProblem(reply, problem, request.id)
    })
    app.setNotFoundHandler((request, reply) => {
      if (isBrowserAtRoot(request)) return reply.header('vary', 'accept').redirect(home)
      return sendProblem(reply, notFoundProblem(request), request.id)
    })
    // A body that no route takes is not read either, and the 404 needs no key.
    app.addHook('preParsing', (request, _reply, payload, done) => {
      if (request.is404 && hasUnreadBody(request.raw)) done(notFoundProblem(request))
      else done(null, payload)
    })

    function notFoundProblem(request: FastifyRequest): Problem {
      const allowed = allowedMethods(request)
      // A route that knows the method has looked itself: a folder of files without this one.
      return allowed.length > 0 && !allowed.includes(request.method)
        ? methodNotAllowed(undefined, { headers: { allow: allowed.join(', ') } })
        : routeNotFound()
    }

    function allowedMethods(request: FastifyRequest): string[] {
      const [path = '/'] = request.url.split('?')
      const methods = app.supportedMethods.filter((method) => {
        const found: unknown = app.findRoute({ method, url: path })
        return found !== null
      })
      // CORS answers OPTIONS on every path, also where nothing is.
      return methods.some((method) => method !== 'OPTIONS') ? methods : []
    }
  },
  { name: 'problems' },
)

/** Tells a person who opens the service's address from a client, which is told what it did wrong. */
function isBrowserAtRoot({ method, url, headers }: FastifyRequest): boolean {
  const isRead = method === 'GET' || method === 'HEAD'
  return isRead && /^\/(?:\?|$)/.test(url) && /\btext\/html\b/i.test(headers.accept ?? '')
}

export function sendProblem(reply: FastifyReply, problem: Problem, requestId: string): FastifyReply {
  if (problem.headers) reply.headers(problem.headers)
  if (problem.status === 503 && !reply.hasHeader('retry-after')) reply.header('retry-after', '1')
  return reply
    .code(problem.status)
    .type('application/problem+json')
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send(problem.toJSON(requestId))
}

/** Returns the problem that an error stands for; an unknown error is a 500 without details. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (isUnavailable(error)) return databaseUnavailable(undefined, { cause: error })
  if (isRefusing(error)) return databaseUnavailable(REFUSING, { cause: error, headers: REFUSING_HEADERS })
  if (isPassing(error)) return overloaded(undefined, { cause: error })
  const { code, statusCode, validation, validationContext } = error as FastifyError
  if (validation) return invalidRequest(undefined, { errors: fieldErrors(validation, validationContext) })
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return payloadTooLarge()
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return unsupportedMediaType()
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return invalidJson('The body is empty or not JSON.')
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return invalidRequest('The body is not as long as Content-Length says.')
    case 'FST_ERR_BAD_URL':
      return invalidRequest('The URL is not well encoded.')
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return routeNotFound()
    default:
      if (statusCode === 408) return requestTimeout()
      if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
        return invalidRequest('The request could not be read.', { cause: error })
      }
      return internalError(undefined, { cause: error })
  }
}

const MAX_FIELD_ERRORS = 20
const UNKNOWN_PARAMETER = 'is not a parameter of this route: remove it, or see /docs for those that it knows'

function fieldErrors(
  validation: NonNullable<FastifyError['validation']>,
  context: FastifyError['validationContext'],
): FieldError[] {
  const base = context === 'body' || context === undefined ? '' : `/${context}`
  return validation.slice(0, MAX_FIELD_ERRORS).map(({ keyword, instancePath, params, message }) => {
    const named = params['additionalProperty'] ?? params['missingProperty'] ?? params['unevaluatedProperty']
    const pointer = base + instancePath + (typeof named === 'string' ? `/${escapePointer(named)}` : '')
    const isQuery = context === 'querystring' && keyword === 'additionalProperties'
    return { pointer, detail: isQuery ? UNKNOWN_PARAMETER : explain(keyword, params, message) }
  })
}

function explain(keyword: string, params: Record<string, unknown>, message: string | undefined): string {
  switch (keyword) {
    case 'additionalProperties':
      return 'is not a known property: remove it'
    case 'required':
      return 'is required'
    case 'enum':
      return `must be one of: ${(params['allowedValues'] as unknown[]).map(String).join(', ')}`
    default:
      return message ?? 'is not valid'
  }
}

function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

function logServerError(request: FastifyRequest, error: unknown, problem: Problem): void {
  request.log.error({ err: error, problem: problem.code }, 'request failed')
}
