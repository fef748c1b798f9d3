import { setTimeout as wait } from 'node:timers/promises'
import type { ServiceProcess } from '#test/support/service-process.ts'
import type { CountingReceiver } from './counting-receiver.ts'

/** Registers a plugin whose endpoint is a path of the receiver. */
export async function registerAt(
  service: Pick<ServiceProcess, 'request'>,
  tenantId: string,
  receiver: CountingReceiver,
  path: string,
  fields: Record<string, unknown> = {},
): Promise<{ id: string; slug: string }> {
  const response = await service.request('POST', '/api/plugins', {
    tenantId,
    body: { name: path.slice(1), webhook_url: receiver.url + path, events: ['order.*'], ...fields },
  })
  if (response.status !== 201) throw new Error(await response.text())
  const plugin = (await response.json()) as { id: string; slug: string; secret: string }
  receiver.expect(path, plugin.secret)
  return plugin
}

/** One answer to one attempt to send an event; status 0: none came. */
export interface SendAttempt {
  status: number
  /** On `performance.now()`'s scale. */
  startedAt: number
  tookMs: number
}

/** A client that sends events one by one, each until it is acknowledged, under an id of its own. */
export class EventSender {
  /** Ids of the events by the service, of those that were acknowledged. */
  readonly acknowledged = new Set<string>()
  readonly attempts: SendAttempt[] = []
  readonly #service: () => Pick<ServiceProcess, 'request'>
  readonly #tenantId: string
  #next = 0
  #stopped = false

  constructor(service: () => Pick<ServiceProcess, 'request'>, tenantId: string) {
    this.#service = service
    this.#tenantId = tenantId
  }

  /** Sends `count` events (or until `stop`), `concurrency` at a time. */
  async send(count: number, concurrency: number): Promise<void> {
    const end = this.#next + count
    await Promise.all(
      Array.from({ length: concurrency }, async () => {
        while (this.#next < end && !this.#stopped) await this.#sendOne(this.#next++)
      }),
    )
  }

  stop(): void {
    this.#stopped = true
  }

  async #sendOne(number: number): Promise<void> {
    const body = { id: `order-${number}`, event: 'order.created', data: { number } }
    for (;;) {
      const startedAt = performance.now()
      const response = await this.#service()
        .request('POST', '/api/events', { tenantId: this.#tenantId, body })
        .catch(() => null)
      // An answer may break off, too; then nothing was acknowledged.
      const answer = (await response?.json().catch(() => null)) as { id?: string } | null
      const status = answer === null ? 0 : (response?.status ?? 0)
      this.attempts.push({ status, startedAt, tookMs: performance.now() - startedAt })
      if (status === 202 && answer?.id !== undefined) {
        this.acknowledged.add(answer.id)
        return
      }
      if (this.#stopped) return
      await wait(RETRY_MS)
    }
  }
}

const RETRY_MS = 50
