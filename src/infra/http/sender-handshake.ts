import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * Answers the handshake of CloudEvents senders (HTTP 1.1 Web Hooks for Event Delivery, 4): the origin that asks may
 * send. A WebHook-Request-Callback is not called.
 *
 * @param options `allow`: the methods of the route; `rate`: requests a minute, or `*`, told to who asks for a rate
 */
export function answerSender(
  { headers }: Pick<FastifyRequest, 'headers'>,
  reply: FastifyReply,
  { allow, rate }: { allow: string; rate: string },
): FastifyReply {
  const origin = headers['webhook-request-origin']
  void reply.header('allow', allow)
  if (typeof origin === 'string' && origin !== '') void reply.header('webhook-allowed-origin', origin)
  if (headers['webhook-request-rate'] !== undefined) void reply.header('webhook-allowed-rate', rate)
  return reply.send(null)
}
