import fp from 'fastify-plugin'
import type { SecretBox } from '#lib/secrets/secret-box.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Seals what is secret at rest; the context of a value is `secretContext(tenant, row, field)`. */
    secretBox: SecretBox
  }
}

/** Binds a sealed value to its place: copied into another row or tenant it does not open. */
export function secretContext(tenantId: string, rowId: string, field: string): string {
  return `${tenantId}:${rowId}:${field}`
}

export default fp(
  async (app, options: { secretBox: SecretBox }) => {
    app.decorate('secretBox', options.secretBox)
  },
  { name: 'secrets' },
)
