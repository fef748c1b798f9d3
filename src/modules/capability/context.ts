import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Egress } from '#infra/egress/index.ts'
import type { FieldError } from '#lib/api/problem.ts'
import type { DeliveryService } from '#modules/webhook-delivery/index.ts'

/** The dependencies of the module's services. */
export interface CapabilityContext {
  db: Kysely<DB>
  egress: Pick<Egress, 'request'>
  deliveries: Pick<DeliveryService, 'target' | 'signedHeaders'>
  /** Returns the faults in the shape of a manifest; empty when it is a CapabilityManifest. */
  checkShape: (value: unknown) => readonly FieldError[]
}
