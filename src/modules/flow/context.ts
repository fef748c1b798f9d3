import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Egress } from '#infra/egress/index.ts'
import type { Signals } from '#infra/signals.ts'
import type { ConnectionService } from '#modules/connection/index.ts'
import type { FlowEngineService } from '#modules/flow-engine/index.ts'
import type { FlowTriggerService } from '#modules/flow-trigger/index.ts'
import type { PlatformService } from '#modules/platform/index.ts'
import type { RegistryService } from '#modules/registry/index.ts'

/** The context of the module's services. */
export interface FlowContext {
  db: Kysely<DB>
  registry: Pick<RegistryService, 'snapshot'>
  connections: Pick<ConnectionService, 'named'>
  engine: Pick<FlowEngineService, 'start' | 'isFull' | 'findProgram' | 'cancel' | 'simulate'>
  triggers: FlowTriggerService
  signals: Signals
  egress: Pick<Egress, 'checkText'>
  platform: Pick<PlatformService, 'isConfigured'>
}
