import type { FastifyReply } from 'fastify'

/**
 * Sends an answer of which the definition is a part, exactly as it was sent to us: it was decided on as text and is
 * put in as text, behind the members that the route's schema lets through.
 */
export function sendWithDefinition(
  reply: FastifyReply,
  status: number,
  { definitionText, ...members }: { definitionText: string },
): FastifyReply {
  const serialise = reply.getSerializationFunction(String(status)) as ((value: unknown) => string) | undefined
  if (serialise === undefined) throw new Error(`the route declares no answer ${status}`)
  return reply
    .code(status)
    .type('application/json; charset=utf-8')
    .serializer((value: unknown) => `${serialise(value).slice(0, -1)},"definition":${definitionText}}`)
    .send(members)
}
