import type { FastifyBaseLogger } from 'fastify'
import { JobLoop, type PassResult } from '#lib/async/job-loop.ts'
import { Pulse, type Standing, worstOf } from '#lib/async/pulse.ts'
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
  /** Fails while every tenant that has something new fails. */
  readonly #pulse = new Pulse()
  #lookAt = 0

  constructor(matcher: Matcher, log: FastifyBaseLogger) {
    this.#matcher = matcher
    this.#loop = new JobLoop({
      pass: () => this.#pass(),
      intervalMs: () => (matcher.behind.size > 0 ? BEHIND_MS : Math.max(0, this.#lookAt - performance.now())),
      onError: (error) => log.error({ err: (error as Error).message }, 'events not matched against flows'),
    })
  }

  get standing(): Standing {
    return worstOf(this.#loop.standing, this.#pulse.standing)
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

  async #pass(): Promise<PassResult> {
    const named = new Set([...this.#named, ...this.#matcher.behind])
    this.#named.clear()
    if (performance.now() < this.#lookAt) return named.size === 0 ? 'idle' : this.#match([...named])
    this.#lookAt = performance.now() + LOOK_MS
    const looked = await this.#match([])
    if (looked === 'more') this.#lookAt = 0
    if (named.size === 0) return looked
    const matched = await this.#match([...named])
    return looked === 'more' ? looked : matched
  }

  async #match(tenantIds: readonly string[]): Promise<PassResult> {
    const result = await this.#matcher.pass(tenantIds, null, () => this.#loop.progress())
    if (this.#matcher.isFailing) this.#pulse.fail()
    else this.#pulse.succeed()
    return result
  }
}
