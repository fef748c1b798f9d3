import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Of a route for OPTIONS: the handler answers what no browser asks, such as the handshake of CloudEvents. */
    cors?: { preflightContinue: true }
  }
  interface FastifyRequest {
    /** Undefined where no origin is allowed. */
    corsPreflightEnabled?: boolean
  }
}

/** Lets browsers call from these origins. */
export default fp(
  async (app: FastifyInstance, { origins }: { origins: readonly string[] }) => {
    await app.register(cors, {
      origin: [...origins],
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      strictPreflight: false,
    })
    // Before anything looks for a key: a browser sends none when it asks.
    app.addHook('onRequest', async ({ headers, corsPreflightEnabled }, reply) => {
      const isPreflight = corsPreflightEnabled && headers['access-control-request-method'] !== undefined
      return isPreflight ? reply.code(204).send() : undefined
    })
  },
  { name: 'cors' },
)
