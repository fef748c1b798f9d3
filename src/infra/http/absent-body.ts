import type { FastifyInstance, FastifyRequest } from 'fastify'

interface BodySchema {
  $ref?: string
  default?: unknown
}

/**
 * Lets callers leave out the bodies whose schema has a `default`, which then stands for them. The document says so by
 * the same member.
 */
export function acceptAbsentBodies(app: FastifyInstance): void {
  app.addHook('onRoute', function (route) {
    const fallback = defaultOf(this, route.schema?.body as BodySchema | undefined)
    if (fallback === undefined) return
    const fillIn = (request: FastifyRequest, _reply: unknown, done: () => void): void => {
      request.body ??= structuredClone(fallback)
      done()
    }
    route.preValidation = [fillIn, ...[route.preValidation ?? []].flat()]
  })
}

function defaultOf(app: FastifyInstance, schema: BodySchema | undefined): unknown {
  const named = schema?.$ref === undefined ? schema : (app.getSchema(schema.$ref.slice(0, -1)) as BodySchema)
  return named?.default
}
