/** The ceiling of intake: a Fastify route that reads the same JSON, stores nothing and answers the same. */
import Fastify from 'fastify'
import { serve } from '../support/ipc.ts'

const app = Fastify()

app.post<{ Body: { event: string } }>('/api/events', async (request, reply) => {
  reply.code(202)
  return { id: crypto.randomUUID(), event: request.body.event, duplicate: false, deliveries: 1 }
})

export type Commands = typeof commands

const commands = {
  /** @returns the origin */
  listen: async (_: null): Promise<string> => app.listen({ host: '127.0.0.1', port: 0 }),
}

serve(commands)
