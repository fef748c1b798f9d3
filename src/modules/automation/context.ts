import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { FlowService } from '#modules/flow/index.ts'
import type { PlatformService } from '#modules/platform/index.ts'

/** The context of the module's services. */
export interface AutomationContext {
  db: Kysely<DB>
  flows: FlowService
  platform: PlatformService
}
