import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { SessionGround } from '#infra/auth/session-repository.ts'
import type { Changes } from '#infra/changes.ts'
import type { EventStream } from '#infra/http/event-stream.ts'
import { OpenStreams, STREAM_LIMITS, type StreamLimits } from '#infra/http/open-streams.ts'
import type { ChangeTopic } from '#lib/change-topics.ts'

interface Wanted {
  topics: ReadonlySet<ChangeTopic>
  /** The time for which to follow; 0: the first hint alone. Undefined: as long as streams last. */
  seconds: number | undefined
}

/** The live streams that a process has open. */
export class LiveStreams {
  readonly #open: OpenStreams<{ unfollow: () => void }>
  readonly #changes: Changes
  readonly #log: FastifyBaseLogger

  constructor(options: {
    db: Kysely<DB>
    ground: SessionGround
    changes: Changes
    log: FastifyBaseLogger
    limits?: Partial<StreamLimits>
  }) {
    const { db, ground, changes, log, limits } = options
    this.#changes = changes
    this.#log = log
    this.#open = new OpenStreams({
      db,
      ground,
      log,
      limits: { ...STREAM_LIMITS, ...limits },
      onCapacity: () => undefined,
      onClosed: ({ kept }) => kept.unfollow(),
    })
  }

  /** @returns null: there are too many */
  open(
    tenantId: string,
    by: Pick<Actor, 'id' | 'session' | 'pluginId'>,
    { topics, seconds }: Wanted,
  ): EventStream | null {
    const opened = this.#open.open(tenantId, by, { unfollow: () => undefined })
    if (opened === null || !this.#open.has(opened)) return opened?.stream ?? null
    const { stream, kept } = opened
    // Earlier changes were not told: the first hint is to look at everything once.
    stream.send({ event: 'changed', data: { topics: [...topics] } })
    if (seconds === 0) {
      this.#open.end(opened)
      return stream
    }
    const timer =
      seconds === undefined ? undefined : setTimeout(() => this.#open.end(opened), seconds * 1_000)
    const unfollow = this.#changes.follow(tenantId, (changed) => {
      const told = [...topics.intersection(changed)]
      if (told.length > 0 && stream.hasCapacity) stream.send({ event: 'changed', data: { topics: told } })
    })
    kept.unfollow = () => {
      clearTimeout(timer)
      unfollow()
    }
    return stream
  }

  /** Keys or sessions may have ended. */
  checkKeys(): void {
    this.#open.forgetKeyCheck()
    this.#open.endWithKeys().catch((error: unknown) => {
      this.#log.warn({ err: (error as Error).message }, 'live: will look for keys again')
    })
  }

  async close(): Promise<void> {
    this.#open.close()
  }
}
