import { Gauge, type Registry } from 'prom-client'
import { shareReading } from '#infra/metrics.ts'
import type { QueueState } from './due/queue-figures-repository.ts'

/** Calls of this process that have their plugin's limits to wait for. */
export function addWaitingCallsGauge(registry: Registry, count: () => number): void {
  new Gauge({
    name: 'bcs_plugin_calls_waiting',
    help: 'Calls of plugins that wait in this process until the limits of their plugin allow them',
    registers: [registry],
    collect() {
      this.set(count())
    },
  })
}

/** With the database away the scrape still answers: `bcs_database_up` is 0 and the queue's figures are absent. */
export function addQueueGauges(registry: Registry, look: () => Promise<QueueState>): void {
  const read = shareReading(look)
  const registers = [registry]
  const gauge = (name: string, help: string, value: (state: QueueState) => number): void => {
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        const state = await read()
        this.remove()
        if (state !== null) this.set(value(state))
      },
    })
  }
  new Gauge({
    name: 'bcs_database_up',
    help: '1 when the database answered the last look at the queue, else 0',
    registers,
    async collect() {
      this.set((await read()) === null ? 0 : 1)
    },
  })
  gauge(
    'bcs_queue_depth',
    'Deliveries that are neither sent nor failed, over all processes; counted up to 100000',
    (state) => state.depth,
  )
  gauge(
    'bcs_queue_oldest_due_seconds',
    'For how long the oldest delivery that could go out has been due',
    (state) => state.oldestDueSeconds,
  )
  gauge(
    'bcs_queue_unattended_seconds',
    'For how long due work has been waiting that no worker holds',
    (state) => state.unattendedSeconds,
  )
  gauge(
    'bcs_ordering_held_seconds',
    'For how long the delivery that has waited longest behind another of its key has been waiting',
    (state) => state.keyHeldSeconds,
  )
  new Gauge({
    name: 'bcs_breakers',
    help: 'Plugins by the state of their circuit breaker',
    labelNames: ['state'],
    registers,
    async collect() {
      const state = await read()
      this.reset()
      for (const [name, count] of Object.entries(state?.breakers ?? {})) this.set({ state: name }, count)
    },
  })
}
