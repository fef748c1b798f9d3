import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { FlowService } from '#modules/flow/index.ts'

/** What the module's services work with. */
export interface FlowTemplateContext {
  db: Kysely<DB>
  flows: FlowService
}
