import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { FlowService } from '#modules/flow/index.ts'

/** The context of the module's services. */
export interface FlowTemplateContext {
  db: Kysely<DB>
  flows: FlowService
}
