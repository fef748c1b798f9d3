import SerializerSelector from '@fastify/fast-json-stringify-compiler'
import { Ajv, type AnySchemaObject } from 'ajv'
import addFormats from 'ajv-formats'
import type {
  FastifyContextConfig,
  FastifyInstance,
  FastifyRequest,
  FastifySchema,
  FastifySchemaCompiler,
  RouteOptions,
} from 'fastify'
import type { FastifySerializerCompiler } from 'fastify/types/schema.js'
import fp from 'fastify-plugin'
import { JsonInputError, parseJson, withPlainNumbers } from '#lib/json/index.ts'
import { type BatchShape, parseJsonBatch, parseJsonBatchInTurns } from '#lib/json/batch.ts'
import { keepSources, type SourceNames } from '#lib/json/source.ts'
import { withWritten } from '#lib/json/written.ts'
import type { Problem } from '#lib/api/problem.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import { isUuid } from '#lib/ids.ts'
import { acceptAbsentBodies } from './absent-body.ts'
import { callerOf } from './caller.ts'
import { lazySerializer, lazyValidator } from './lazy-compilers.ts'
import { invalidJson, invalidRequest } from './problems.ts'
import { dropBody, hasUnreadBody } from './unread-body.ts'

const STRICT = {
  // One error is enough to mend a request by, and collecting all of them is a way to burn memory.
  allErrors: false,
  useDefaults: true,
  removeAdditional: false,
  strict: false,
  // The schemas are our own and checked with the OpenAPI document. Here each of a dozen modules would compile the
  // metaschema anew: a second of every start.
  validateSchema: false,
} as const

/**
 * Fastify's `schemaController.compilersFactory.buildValidator`: nothing in a body is coerced or dropped. Query,
 * path and headers are text by nature, so numbers and booleans are read there.
 */
export function buildValidator(sharedSchemas: unknown): FastifySchemaCompiler<FastifySchema> {
  const schemas = Object.values(sharedSchemas as Record<string, AnySchemaObject>)
  const validators = new Map<boolean, Ajv>()
  const ajvOf = (coerceTypes: boolean): Ajv => {
    let ajv = validators.get(coerceTypes)
    if (ajv === undefined) {
      ajv = withFormats(new Ajv({ ...STRICT, coerceTypes, schemas }))
      validators.set(coerceTypes, ajv)
    }
    return ajv
  }
  return ({ schema, httpPart }) =>
    lazyValidator(() => ajvOf(httpPart !== 'body').compile(schema as AnySchemaObject))
}

/** Fastify's `schemaController.compilersFactory.buildSerializer`. An answer may have WrittenJson in it. */
export function buildSerializer(
  sharedSchemas: unknown,
  options: object,
): FastifySerializerCompiler<FastifySchema> {
  let compiler: SerializerSelector.SerializerCompiler | undefined
  return (route) =>
    lazySerializer(() => {
      compiler ??= SerializerSelector()(sharedSchemas, options)
      const serialise = compiler(route as SerializerSelector.RouteDefinition)
      return (data) => withWritten(() => serialise(data))
    })
}

/** The usual `uuid` format takes `urn:uuid:…` too, which Postgres does not. */
function withFormats(ajv: Ajv): Ajv {
  addFormats.default(ajv)
  ajv.addFormat('uuid', { type: 'string', validate: isUuid })
  return ajv
}

/** `all`: the body itself is data. */
type DataMembers = readonly string[] | 'all'

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the JSON that came as the body; 0: there was none. */
    bodyBytes: number
    /** When the framework began what it does for the request; 0: it does nothing. */
    frameworkSince: number
  }
  interface FastifyContextConfig {
    /** Members of the body that are callers' data: their numbers keep their text (lib/json/index.ts). */
    dataMembers?: DataMembers
    /** Members whose values are kept as they were written, too (lib/json/source.ts). */
    writtenMembers?: SourceNames
  }
}

export const JSON_TYPE = /^application\/json(?:\s*;|$)/i

/** The border that every request crosses: JSON only, decided on its bytes (lib/json/index.ts). */
export default fp(
  async (app) => {
    // With `done` instead of a promise, as all that every request passes through: a promise a hook costs it 1 µs.
    app.addHook('onRequest', (request, reply, done) => {
      void reply.header('x-content-type-options', 'nosniff')
      if (request.url.includes('%00')) refuseNul(request)
      refuseTwoHosts(request)
      done()
    })
    // A refusal that comes before the body was read waits until the client can see it.
    app.addHook('onSend', (request, reply, given, done) => {
      // Has no body (RFC 9110, 15.4.5), and no length but that of the answer which it stands for.
      const payload = reply.statusCode === 304 ? null : given
      if (reply.statusCode === 304) void reply.removeHeader('content-type').removeHeader('content-length')
      if (!hasUnreadBody(request.raw)) {
        done(null, payload)
        return
      }
      void dropBody(request.raw).then((isWhole) => {
        if (!isWhole) void reply.header('connection', 'close')
        done(null, payload)
      })
    })
    chargeFramework(app)
    acceptAbsentBodies(app)
    app.addHook('onRoute', closeQuery)
    app.decorateRequest('bodyBytes', 0)
    app.removeAllContentTypeParsers()
    app.addContentTypeParser(
      JSON_TYPE,
      { parseAs: 'buffer' },
      (request: FastifyRequest, bytes: Buffer, done) => {
        request.bodyBytes = bytes.length
        try {
          const { config } = request.routeOptions
          done(
            null,
            loopShare.charged(callerOf(request), () => readJson(bytes, config)),
          )
        } catch (error) {
          done(error as Error)
        }
      },
    )
  },
  { name: 'edge', dependencies: ['problems'] },
)

/** Less is not worth a note. */
const LEAST_CHARGE_MS = 1

/** Charges the caller for the check of its body by schema and for the text of its answer, which Fastify sees to. */
function chargeFramework(app: Pick<FastifyInstance, 'addHook' | 'decorateRequest'>): void {
  app.decorateRequest('frameworkSince', 0)
  const charge = (request: FastifyRequest): void => {
    if (request.frameworkSince === 0) return
    const ms = performance.now() - request.frameworkSince
    request.frameworkSince = 0
    if (ms >= LEAST_CHARGE_MS) loopShare.charge(callerOf(request), ms)
  }
  app.addHook('preValidation', (request, _reply, done) => {
    if (request.bodyBytes > 0) request.frameworkSince = performance.now()
    done()
  })
  app.addHook('preHandler', (request, _reply, done) => {
    charge(request)
    done()
  })
  app.addHook('preSerialization', (request, _reply, payload, done) => {
    request.frameworkSince = performance.now()
    done(null, payload)
  })
  app.addHook('onSend', (request, _reply, payload, done) => {
    charge(request)
    done(null, payload)
  })
}

/**
 * Makes a route refuse the members of a query that it does not know: a filter that is passed over answers with
 * everything, and looks like the answer to the question.
 */
function closeQuery(route: RouteOptions): void {
  const given = route.schema?.querystring as Record<string, unknown> | undefined
  const isRead = [route.method].flat().includes('GET')
  if (!route.url.startsWith('/api/') || (given === undefined && !isRead)) return
  const query = given ?? { type: 'object', properties: {} }
  route.schema = { ...route.schema, querystring: { ...query, additionalProperties: false } }
}

/**
 * Postgres has no NUL in text. In bodies lib/json/index.ts refuses it; undecoded it cannot pass Node's parser. In a query it
 * is refused; a path that has one names nothing that exists, which the route says best itself.
 */
function refuseNul({ url, params }: FastifyRequest): void {
  const query = url.indexOf('?')
  if (query !== -1 && url.includes('%00', query)) throw invalidRequest('The query contains NUL (%00).')
  const named = params as Record<string, string>
  for (const [name, value] of Object.entries(named)) named[name] = value.replaceAll('\0', '\ufffd')
}

/** A proxy may have gone by the one and Node by the other (RFC 9112, 3.2). */
function refuseTwoHosts({ raw: { rawHeaders } }: FastifyRequest): void {
  let hosts = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1
  }
  if (hosts > 1) throw invalidRequest('The request has more than one Host header.')
}

/**
 * Reads a body; an empty one is none, whatever its type says: clients set the type on every request.
 * @param config of the route
 * @throws the problem `invalid_json`, with a pointer where one is known
 */
export function readJson(
  bytes: Buffer,
  { dataMembers = [], writtenMembers }: FastifyContextConfig = {},
): unknown {
  if (bytes.length === 0) return undefined
  if (dataMembers.length === 0) return asProblem(() => parseJson(bytes))
  const body = asProblem(() => parseJson(bytes, { numbers: 'text' }))
  if (writtenMembers !== undefined) keepSources(bytes.toString(), body, writtenMembers)
  if (dataMembers === 'all') return body
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return withPlainNumbers(body)
  const members = Object.entries(body).map(([name, value]): [string, unknown] => [
    name,
    dataMembers.includes(name) ? value : withPlainNumbers(value),
  ])
  return Object.fromEntries(members)
}

/** Bodies up to here are read at once, within some milliseconds. */
const AT_ONCE_BYTES = 64 * 1024

/**
 * Reads events: a list, or the list in that member, whose unreadable items are JsonInputErrors in their places. The
 * texts of the shape's members are kept beside them (lib/json/source.ts). The time that it takes is the caller's, and a long body
 * is read in turns with what others have to do.
 *
 * @param maxItemBytes of one event as it was sent
 * @throws JsonInputError `too_large` for what is no list and longer than an item may be
 */
export async function readJsonBatch(
  party: string,
  bytes: Buffer,
  { shape, maxItemBytes }: { shape: BatchShape; maxItemBytes: number },
): Promise<unknown> {
  if (bytes.length === 0) return undefined
  try {
    if (bytes.length <= AT_ONCE_BYTES) return loopShare.charged(party, () => parseJsonBatch(bytes, shape))
    const turn = (): Promise<void> | null => loopShare.turn(party)
    await turn()
    return await parseJsonBatchInTurns(bytes, shape, { maxBytes: maxItemBytes, turn })
  } catch (error) {
    throw error instanceof JsonInputError && error.code !== 'too_large' ? jsonProblem(error) : error
  }
}

function asProblem(read: () => unknown): unknown {
  try {
    return read()
  } catch (error) {
    throw error instanceof JsonInputError ? jsonProblem(error) : error
  }
}

/** The problem `invalid_json` for a body that cannot be read. */
export function jsonProblem(error: JsonInputError): Problem {
  return invalidJson(error.detail, {
    extensions: { reason: error.code },
    ...(error.pointer !== null && { errors: [{ pointer: error.pointer, detail: error.detail }] }),
    cause: error,
  })
}
