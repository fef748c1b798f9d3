import type { FastifyRequest } from 'fastify'

/** Names the party whose requests count together: a tenant, a key above all tenants, or an address without a key. */
export function callerOf(request: FastifyRequest): string {
  const { actor } = request as { actor: FastifyRequest['actor'] | null | undefined }
  if (actor == null) return request.ip
  return request.tenantScope ?? `key ${actor.id ?? actor.kind}`
}
