import fp from 'fastify-plugin'
import type { FastifyRequest } from 'fastify'

/** A request that took longer is logged although it succeeded. */
const SLOW_MS = 1_000

/**
 * One line and one observation a request. Success is the rule and would only cost time at thousands a second: it is
 * logged at `debug`; failures and slow requests at `info`.
 */
export default fp(
  async (app) => {
    const { httpRequestDuration } = app.metrics
    const logsSuccess = app.log.level === 'debug' || app.log.level === 'trace'
    app.addHook('onResponse', (request, reply, done) => {
      const ms = reply.elapsedTime
      const status = reply.statusCode
      const route = request.routeOptions.url ?? 'none'
      httpRequestDuration.observe({ method: request.method, route, status }, ms / 1_000)
      const level = status >= 400 || ms > SLOW_MS ? 'info' : 'debug'
      if (level === 'info' || logsSuccess) {
        request.log[level](
          {
            tenant_id: tenantOf(request),
            method: request.method,
            route,
            status,
            duration_ms: Math.round(ms * 10) / 10,
          },
          'request',
        )
      }
      done()
    })
  },
  { name: 'request-log', dependencies: ['metrics', 'auth'] },
)

/** The tenant as far as it is known: a request may have failed before it was. */
function tenantOf(request: FastifyRequest): string | undefined {
  const { actor } = request as { actor: FastifyRequest['actor'] | null }
  const named = request.headers['x-tenant-id']
  return actor?.tenantId ?? (actor !== null && typeof named === 'string' ? named.slice(0, 36) : undefined)
}
