import { api, ask } from '../../api/client.ts'
import { type ApiProblem, toProblem } from '../../api/problem.ts'
import { refresh } from '../../api/queries.ts'
import type { Delivery } from './filters.ts'

export interface Refusal {
  delivery: Delivery
  problem: ApiProblem
}

/** Asks for deliveries again, one after the other; what is refused is kept and does not stop the rest. */
export class RetryMany {
  isRunning = $state(false)
  total = $state(0)
  done = $state(0)
  refusals = $state.raw<Refusal[]>([])
  #stop = new AbortController()

  get accepted(): number {
    return this.done - this.refusals.length
  }

  stop(): void {
    this.#stop.abort()
  }

  async run(deliveries: readonly Delivery[]): Promise<void> {
    if (this.isRunning) return
    this.isRunning = true
    this.#stop = new AbortController()
    this.total = deliveries.length
    this.done = 0
    this.refusals = []
    for (const delivery of deliveries) {
      if (this.#stop.signal.aborted) break
      try {
        await ask(api.POST('/api/plugins/events/{id}/retry', { params: { path: { id: delivery.id } } }))
      } catch (error) {
        this.refusals = [...this.refusals, { delivery, problem: toProblem(error) }]
      }
      this.done += 1
    }
    this.isRunning = false
    await refresh()
  }
}
