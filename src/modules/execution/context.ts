import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { JobListener } from '#infra/durable-jobs.ts'
import type { Signals } from '#infra/signals.ts'
import type { FlowEngineService } from '#modules/flow-engine/index.ts'

export interface ExecutionContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
  flowEngine: Pick<FlowEngineService, 'retry' | 'countCancelled'>
  /** Told when a bulk change of a tenant changes. */
  onChange?: JobListener
}
