import { setTimeout as delay } from 'node:timers/promises'
import type { FlowEngineService } from '../flow-engine/index.ts'

export interface DueWorkReport {
  events: number
  executions: number
  /** There was nothing left. */
  complete: boolean
}

/** What is not done by then is left to the workers, or to the next call. */
const MAX_MS = 10_000
/** Events behind a transaction that is still open are waited for so long, and looked for so often. */
const BEHIND_MS = 1_000
const LOOK_MS = 20

/**
 * Works off what a tenant's automations have to do now, as a worker would, whether or not one is there: both claim what
 * they take. For one tenant one call works at a time in a process; another one shares its answer.
 */
export class DueWork {
  readonly #engine: Pick<FlowEngineService, 'createEngine' | 'createMatcher'>
  readonly #running = new Map<string, Promise<DueWorkReport>>()

  constructor(engine: Pick<FlowEngineService, 'createEngine' | 'createMatcher'>) {
    this.#engine = engine
  }

  async run(tenantId: string): Promise<DueWorkReport> {
    const running = this.#running.get(tenantId) ?? this.#run(tenantId)
    this.#running.set(tenantId, running)
    return running
  }

  async #run(tenantId: string): Promise<DueWorkReport> {
    const end = performance.now() + MAX_MS
    const matcher = this.#engine.createMatcher()
    const worker = this.#engine.createEngine(undefined, tenantId)
    const timer = setTimeout(() => void worker.stop(), MAX_MS)
    try {
      for (;;) {
        const allMatched = await matchAll(matcher, tenantId, end)
        const isOver = performance.now() >= end
        const taken = isOver ? 0 : await Promise.race([worker.drain(), delay(end - performance.now(), null)])
        if (taken === null || isOver) return report(false)
        if (taken === 0) return report(allMatched)
      }
    } finally {
      clearTimeout(timer)
      this.#running.delete(tenantId)
      await worker.stop()
    }
    function report(complete: boolean): DueWorkReport {
      return { events: matcher.matched, executions: worker.taken, complete }
    }
  }
}

async function matchAll(
  matcher: ReturnType<FlowEngineService['createMatcher']>,
  tenantId: string,
  end: number,
): Promise<boolean> {
  const patience = Math.min(end, performance.now() + BEHIND_MS)
  while (performance.now() < end) {
    if ((await matcher.pass([tenantId], null)) === 'more') continue
    if (matcher.behind.size === 0) return true
    if (performance.now() >= patience) return false
    await delay(LOOK_MS)
  }
  return false
}
