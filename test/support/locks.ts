import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { eventually } from './deliveries.ts'

/**
 * Resolves once so many sessions of the database wait for a lock. Other test files have databases of their own on the
 * same server, cloned from one template: pg_locks shows theirs, too, of relations with the same number.
 */
export async function lockWaits(db: Kysely<DB>, sessions = 1): Promise<void> {
  await eventually('a statement waits for a lock', async () => {
    const { rows } = await sql<{ count: number }>`select count(*)::int as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`.execute(db)
    return (rows[0]?.count ?? 0) >= sessions
  })
}

/** A transaction that is held open until another one waits for it. */
export class HeldTransaction {
  readonly #db: Kysely<DB>
  readonly #go = Promise.withResolvers<undefined>()
  #committed: Promise<void> | null = null

  constructor(db: Kysely<DB>) {
    this.#db = db
  }

  /** Resolves when the work is done, with its transaction still open. */
  async begin(work: (trx: Transaction<DB>) => Promise<unknown>): Promise<void> {
    const begun = Promise.withResolvers<undefined>()
    this.#committed = this.#db.transaction().execute(async (trx) => {
      await work(trx)
      begun.resolve(undefined)
      await this.#go.promise
    })
    this.#committed.catch(begun.reject)
    await begun.promise
  }

  async commitOnceWaitedFor(): Promise<void> {
    await lockWaits(this.#db)
    await this.commit()
  }

  async commit(): Promise<void> {
    this.#go.resolve(undefined)
    await this.#committed
  }
}
