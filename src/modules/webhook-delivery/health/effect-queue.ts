import type { FastifyBaseLogger } from 'fastify'
import type { HealthEffect } from './health.ts'
import type { Lane } from '../lanes/lane.ts'
import type { Outcome } from '../outcomes/repository.ts'

type Effect = HealthEffect | 'gone'

interface EffectQueueContext {
  log: FastifyBaseLogger
  applyEffect(lane: Lane, effect: Effect, cause: Outcome): Promise<void>
}

/**
 * Applies what plugins' health asks for, one after the other: when thousands of plugins fail at once, their telling
 * must not take the pool from the rest.
 */
export class EffectQueue {
  readonly #ctx: EffectQueueContext
  #applying: Promise<void> = Promise.resolve()

  constructor(ctx: EffectQueueContext) {
    this.#ctx = ctx
  }

  /**
   * Resolves when they are applied or have failed to, which is logged.
   *
   * @param cause the outcome that they follow from
   */
  apply(lane: Lane, effects: readonly Effect[], cause: Outcome): Promise<void> {
    this.#applying = this.#applying.then(() => this.#applyNow(lane, effects, cause))
    return this.#applying
  }

  async #applyNow(lane: Lane, effects: readonly Effect[], cause: Outcome): Promise<void> {
    for (const effect of effects) {
      try {
        await this.#ctx.applyEffect(lane, effect, cause)
      } catch (error) {
        const err = (error as Error).message
        this.#ctx.log.error({ err, plugin: lane.target.slug, effect }, 'health effect not applied')
      }
    }
  }
}
