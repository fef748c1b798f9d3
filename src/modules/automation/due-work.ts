import { setTimeout as delay } from 'node:timers/promises'
import type { FlowEngineService } from '#modules/flow-engine/index.ts'

export interface DueWorkReport {
  events: number
  executions: number
  /** There was nothing left. */
  complete: boolean
}

/** Work that is not done by then is left to the workers, or to the next call. */
const MAX_MS = 10_000
/** Events behind a transaction that is still open are waited for so long, and looked for so often. */
const BEHIND_MS = 1_000
const LOOK_MS = 20

type Engines = Pick<FlowEngineService, 'createEngine' | 'createMatcher'>
type Worker = ReturnType<Engines['createEngine']>

/**
 * Works off what a tenant's automations have to do now, as a worker would, whether or not one is there: both claim what
 * they take. For one tenant one call works at a time in a process; another one shares its answer.
 */
export class DueWork {
  readonly #engines: Engines
  readonly #maxMs: number
  readonly #running = new Map<string, Promise<DueWorkReport>>()
  readonly #workers = new Set<Worker>()

  constructor(engines: Engines, { maxMs = MAX_MS } = {}) {
    this.#engines = engines
    this.#maxMs = maxMs
  }

  async run(tenantId: string): Promise<DueWorkReport> {
    const running =
      this.#running.get(tenantId) ?? this.#run(tenantId).finally(() => this.#running.delete(tenantId))
    this.#running.set(tenantId, running)
    return running
  }

  /** Stops the workers: what is in hand is given back at its next boundary. */
  async stop(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.stop()))
  }

  async #run(tenantId: string): Promise<DueWorkReport> {
    const end = performance.now() + this.#maxMs
    const matcher = this.#engines.createMatcher()
    const worker = this.#engines.createEngine(undefined, tenantId)
    const report = (complete: boolean): DueWorkReport => {
      return { events: matcher.matched, executions: worker.taken, complete }
    }
    for (;;) {
      const allMatched = await matchAll(matcher, tenantId, end)
      const taken = await Promise.race([this.#drain(worker, end), timeout(end)])
      if (taken === null || performance.now() >= end) return report(false)
      if (taken === 0) return report(allMatched)
    }
  }

  /** A call that takes longer than the caller waits goes on, and its execution is kept meanwhile. */
  async #drain(worker: Worker, end: number): Promise<number> {
    this.#workers.add(worker)
    try {
      return await worker.drain(end)
    } finally {
      this.#workers.delete(worker)
    }
  }
}

async function timeout(end: number): Promise<null> {
  return delay(Math.max(0, end - performance.now()), null, { ref: false })
}

async function matchAll(
  matcher: ReturnType<Engines['createMatcher']>,
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
