import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Webhook } from 'standardwebhooks'

declare module 'fastify' {
  interface FastifyRequest {
    /** The body as it came, which is what the signature is about: parsed and written again, it would be another. */
    rawBody: string
  }
}

/**
 * Lets only requests in that the automation service signed with our secret in the last five minutes: deliveries and
 * action calls alike. Who can reach this server can send it anything; the signature is what tells them apart.
 */
export async function requireSignature(app: FastifyInstance, secret: string): Promise<void> {
  const webhook = new Webhook(secret)
  app.decorateRequest('rawBody', '')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    request.rawBody = body as string
    done(null, null)
  })
  app.addHook('preValidation', async (request: FastifyRequest, reply: FastifyReply) => {
    try {
      request.body = webhook.verify(request.rawBody, request.headers as Record<string, string>)
    } catch (error) {
      request.log.warn({ reason: (error as Error).message }, 'refused a request that is not signed')
      return reply.code(401).send({ error: 'The signature does not match.' })
    }
  })
}
