import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Egress } from '#infra/egress/index.ts'
import type { AuditEntry } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { QuotaService } from '#infra/quotas.ts'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import type { PlatformService } from '#modules/platform/index.ts'
import type { DeliveryService, DeliveryTarget } from '#modules/webhook-delivery/index.ts'
import type { CallPlaces } from './dispatch/places.ts'
import type { InvocationStore } from './dispatch/invocation-store.ts'
import type { ResultMemory } from './dispatch/result-memory.ts'
import type { NextLook } from './dispatch/next-look.ts'
import type { Planner } from './dispatch/planner.ts'
import type { DispatchMetrics } from './metrics.ts'

export interface DispatcherContext {
  db: Kysely<DB>
  planner: Planner
  platform: PlatformService
  deliveries: DeliveryService
  /** Of plugins, by tenant and id. */
  targets: NextLook<DeliveryTarget | 'unreadable' | undefined>
  egress: Egress
  secretBox: SecretBox
  quotas: Pick<QuotaService, 'take'>
  store: InvocationStore
  /** Of calls that dispatches make. */
  places: CallPlaces
  /** Of dispatches, until they are answered. */
  results: ResultMemory
  /** Notes who asked for what; written with what others ask for. */
  audit: (actor: Actor, entry: AuditEntry) => Promise<void>
  completionSeconds: number
  metrics: DispatchMetrics
  /** Tells whether actions that have not begun are left to the next process. */
  isStopping(): boolean
}
