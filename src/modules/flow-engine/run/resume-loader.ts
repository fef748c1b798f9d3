import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { Batcher } from '#lib/async/batcher.ts'
import type { ClaimedExecution } from './execution-repository.ts'
import { type ReceivedEvent, receivedOf } from '../wait/waits.ts'
import { loadOutputs, measureLoaded, type StepOutput } from './output-repository.ts'

/** Executions that one statement loads for, and statements of one kind under way at once. */
const BATCH_MAX = 64
const CONCURRENCY = 1

/**
 * Loads what executions that go on have to know of themselves. Those that fall due together are loaded together:
 * thousands of single statements would keep the pool's few connections from the boundaries.
 */
export class ResumeLoader {
  readonly #bytes: Batcher<ClaimedExecution, number>
  readonly #outputs: Batcher<ClaimedExecution, StepOutput[]>
  readonly #received: Batcher<ClaimedExecution, Map<string, ReceivedEvent>>

  constructor(db: Kysely<DB>) {
    const limits = { max: BATCH_MAX, concurrency: CONCURRENCY }
    this.#bytes = new Batcher({ ...limits, flush: (claims) => measureLoaded(db, claims) })
    this.#outputs = new Batcher({ ...limits, flush: (claims) => loadOutputs(db, claims) })
    this.#received = new Batcher({ ...limits, flush: (claims) => loadReceived(db, claims) })
  }

  /** Finds how many bytes of JSON there are to load. */
  async bytes(claim: ClaimedExecution): Promise<number> {
    return claim.step_count === 0 && claim.received === 0 ? 0 : this.#bytes.add(claim)
  }

  /** Loads what its steps gave, those of loops only for the items that are under way. */
  async outputs(claim: ClaimedExecution): Promise<StepOutput[]> {
    return claim.step_count === 0 ? [] : this.#outputs.add(claim)
  }

  /** Loads the events that came for its waits, by iteration. */
  async received(claim: ClaimedExecution): Promise<Map<string, ReceivedEvent>> {
    return claim.received === 0 ? new Map() : this.#received.add(claim)
  }
}

async function loadReceived(
  db: Kysely<DB>,
  claims: readonly ClaimedExecution[],
): Promise<Map<string, ReceivedEvent>[]> {
  const received = new Map<string, Map<string, ReceivedEvent>>()
  for (const [tenantId, ofTenant] of Map.groupBy(claims, (claim) => claim.tenant_id)) {
    const ids = ofTenant.map(({ id }) => id)
    for (const [id, events] of await receivedOf(db, tenantId, ids)) received.set(id, events)
  }
  return claims.map(({ id }) => received.get(id) ?? new Map<string, ReceivedEvent>())
}
