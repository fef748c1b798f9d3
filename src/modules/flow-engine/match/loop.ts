import type { FastifyBaseLogger } from 'fastify'
import { JobLoop } from '#lib/async/job-loop.ts'
import type { Matcher } from './matcher.ts'

/** Between looks at all tenants: what a lost signal costs. */
const LOOK_MS = 4_000
/** Until events that stand behind an open transaction are looked after again. */
const BEHIND_MS = 10

/** Matches when told of new events, and looks at every tenant from time to time, told or not. */
export class MatcherLoop {
  readonly #matcher: Matcher
  readonly #loop: JobLoop
  readonly #named = new Set<string>()
  #lookAt = 0

  constructor(matcher: Matcher, log: FastifyBaseLogger) {
    this.#matcher = matcher
    this.#loop = new JobLoop({
      pass: () => this.#pass(),
      intervalMs: () => (matcher.behind.size > 0 ? BEHIND_MS : Math.max(0, this.#lookAt - performance.now())),
      onError: (error) => log.error({ err: (error as Error).message }, 'events not matched against flows'),
    })
  }

  start(): void {
    this.#loop.start()
  }

  async stop(): Promise<void> {
    await this.#loop.stop()
  }

  /** @param tenantIds none: there may be events anywhere */
  wake(tenantIds: readonly string[]): void {
    for (const tenantId of tenantIds) this.#named.add(tenantId)
    if (tenantIds.length === 0) this.#lookAt = 0
    this.#loop.wake()
  }

  async #pass(): Promise<'more' | 'idle'> {
    const named = new Set([...this.#named, ...this.#matcher.behind])
    this.#named.clear()
    if (performance.now() < this.#lookAt)
      return named.size === 0 ? 'idle' : this.#matcher.pass([...named], null)
    this.#lookAt = performance.now() + LOOK_MS
    const looked = await this.#matcher.pass([], null)
    if (looked === 'more') this.#lookAt = 0
    if (named.size === 0) return looked
    const matched = await this.#matcher.pass([...named], null)
    return looked === 'more' ? looked : matched
  }
}
