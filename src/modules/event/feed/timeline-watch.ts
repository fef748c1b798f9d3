import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import { Counter, type Registry } from 'prom-client'
import { isPassing } from '#db/errors.ts'
import type { DB } from '#db/schema.ts'
import { JobLoop } from '#lib/async/job-loop.ts'
import type { Standing } from '#lib/async/pulse.ts'
import { now } from '#lib/clock.ts'
import { LastItems } from '#lib/last-items.ts'
import { ensureFeedEpoch, selectMissing } from './epoch-repository.ts'

interface Acknowledged {
  id: string
  tenantId: string
  /** Epoch milliseconds. */
  at: number
}

/** Of what a standby lacks, no more than this is told. About 4 MB. */
const REMEMBERED_EVENTS = 20_000
/** Far longer than a standby lags, and far shorter than events are kept. */
const REMEMBERED_MS = 3_600_000
const PAGE = 1_000
const LOOK_MS = 5_000
const NAMED_EVENTS = 10

/**
 * Notices that the database goes on under another timeline, as after a failover, and tells which of the events that this
 * process acknowledged are gone: a standby that follows asynchronously may lack the last ones.
 *
 * The feed does not depend on it. `feed_position()` raises the epoch by itself, so that no event is ever written under an
 * old one.
 */
export class TimelineWatch {
  readonly #db: Kysely<DB>
  readonly #log: FastifyBaseLogger
  readonly #lost: Counter
  readonly #loop: JobLoop
  readonly #acknowledged = new LastItems<Acknowledged>(REMEMBERED_EVENTS)
  #epoch: number | null = null

  constructor({ db, log, registry }: { db: Kysely<DB>; log: FastifyBaseLogger; registry: Registry }) {
    this.#db = db
    this.#log = log
    this.#lost = new Counter({
      name: 'bcs_events_lost_total',
      help: 'Events that this process had acknowledged and that a failover of the database lost, as far as remembered',
      registers: [registry],
    })
    this.#loop = new JobLoop({
      pass: async () => {
        await this.look()
        return 'idle'
      },
      intervalMs: () => LOOK_MS,
      onError: (error) => {
        if (!isPassing(error))
          this.#log.warn({ err: error }, 'the timeline of the database could not be read')
      },
    })
  }

  get standing(): Standing {
    return this.#loop.standing
  }

  start(): void {
    this.#loop.start()
  }

  async stop(): Promise<void> {
    await this.#loop.stop()
  }

  /** An event was committed, and its sender is about to hear of it. */
  acknowledged(tenantId: string, id: string): void {
    this.#acknowledged.add({ id, tenantId, at: now() })
  }

  /** Gives a new timeline its epoch, and tells what it lacks. */
  async look(): Promise<void> {
    const epoch = await ensureFeedEpoch(this.#db)
    const isNew = this.#epoch !== null && epoch > this.#epoch
    if (isNew) await this.#tellLost(epoch)
    this.#epoch = epoch
  }

  async #tellLost(epoch: number): Promise<void> {
    const since = now() - REMEMBERED_MS
    const known = this.#acknowledged.list().filter(({ at }) => at > since)
    const missing = new Set<string>()
    for (let start = 0; start < known.length; start += PAGE) {
      for (const id of await selectMissing(this.#db, known.slice(start, start + PAGE))) missing.add(id)
    }
    if (missing.size === 0) {
      this.#log.warn(
        { epoch, checked: known.length },
        'the database goes on under another timeline: none of the remembered events is missing',
      )
      return
    }
    const lost = known.filter(({ id }) => missing.has(id))
    this.#lost.inc(lost.length)
    this.#log.error(
      {
        epoch,
        lost: lost.length,
        tenants: new Set(lost.map(({ tenantId }) => tenantId)).size,
        since: timeOf(lost[0]),
        until: timeOf(lost.at(-1)),
        event_ids: lost.slice(0, NAMED_EVENTS).map(({ id }) => id),
      },
      'events that were acknowledged are gone with the former server: have their senders send that time again',
    )
    this.#acknowledged.filter(({ id }) => !missing.has(id))
  }
}

function timeOf(event: Pick<Acknowledged, 'at'> | undefined): string | null {
  return event === undefined ? null : new Date(event.at).toISOString()
}
