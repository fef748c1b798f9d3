import { randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Database } from './database.ts'

/** Where events go: the automation service, and the platform key to show there. */
export interface Intake {
  url: string
  /** Null: the service is in open mode. */
  key: string | null
}

export interface OutboxEntry {
  seq: number
  id: string
  tenant_id: string
  event: string
  data: string
  happened_at: string
  refusal: string | null
  causation_id: string | null
  causation_depth: number | null
}

export interface NewEntry {
  tenantId: string
  event: string
  data: object
  /** When it happened, RFC 3339. */
  now: string
  causation: Causation | null
}

/** What an action's call says of how it came about: its events hand it back, so that loops of automations end. */
export interface Causation {
  id: string | null
  depth: number
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const DEPTH = /^\d{1,3}$/

/** Null: a person or another system asked for the change. */
export function causationOf(headers: IncomingHttpHeaders): Causation | null {
  const { 'x-causation-id': id, 'x-causation-depth': depth } = headers
  if (typeof depth !== 'string' || !DEPTH.test(depth)) return null
  return { id: typeof id === 'string' && UUID.test(id) ? id : null, depth: Number(depth) }
}

const BATCH_SIZE = 100
const TIMEOUT_MS = 10_000
const FIRST_PAUSE_MS = 200
const LAST_PAUSE_MS = 30_000
/** Requests under way at once, one per tenant: a tenant whose request gets no answer keeps one of them for TIMEOUT_MS. */
const MAX_REQUESTS = 8
/**
 * Sending the same again would be answered the same, also of one event of a batch. What is not among them waits: 401
 * and 403 say that the key is wrong, and end when that is mended.
 */
const REFUSED: ReadonlySet<number> = new Set([400, 409, 413, 422])

interface Failure {
  reason: string
  retryAfterMs: number
}

/**
 * Events leave the platform by way of a table: written in the transaction of the change that they tell of, sent in
 * order, and removed only when the service has acknowledged them. What is sent twice carries the same id, so that
 * the service takes it once. Each tenant has one request at a time, and the tenants take turns, so that one that waits
 * for an answer or imports in bulk holds up no other.
 */
export class Outbox {
  readonly #db: Database
  readonly #log: FastifyBaseLogger
  readonly #closing = new AbortController()
  #intake: Intake | null
  #pause = new AbortController()
  #draining = false
  readonly #held = new Map<string, { pauseMs: number; until: number }>()
  readonly #underWay = new Map<string, Promise<void>>()
  #lastTurn = ''
  #drained = Promise.resolve()

  constructor(db: Database, intake: Intake | null, log: FastifyBaseLogger) {
    this.#db = db
    this.#intake = intake
    this.#log = log
  }

  /** Call it inside the transaction, and `wake` after its commit. */
  add({ tenantId, event, data, now, causation }: NewEntry): void {
    this.#db.insert('outbox', {
      id: `evt_${randomUUID()}`,
      tenant_id: tenantId,
      event,
      data: JSON.stringify(data),
      happened_at: now,
      causation_id: causation?.id ?? null,
      causation_depth: causation?.depth ?? null,
    })
  }

  /** What is waiting, and what was refused, oldest first. */
  entries(tenantId: string): OutboxEntry[] {
    return this.#db.all('select * from outbox where tenant_id = ? order by seq limit 100', tenantId)
  }

  sendTo(intake: Intake): void {
    this.#intake = intake
    this.#held.clear()
    this.wake()
  }

  wake(): void {
    if (this.#closing.signal.aborted || this.#intake === null) return
    this.#pause.abort()
    if (this.#draining) return
    this.#draining = true
    this.#drained = this.#drain()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#drained
  }

  async #drain(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const tenantId = this.#underWay.size < MAX_REQUESTS ? this.#nextTenant() : null
      if (tenantId !== null) this.#takeTurn(tenantId)
      else if (this.#underWay.size === 0 && !this.#hasWaiting()) break
      else await this.#untilOneMayGo()
    }
    await Promise.all(this.#underWay.values())
    this.#draining = false
  }

  #takeTurn(tenantId: string): void {
    this.#lastTurn = tenantId
    const turn = this.#sendOldest(tenantId).finally(() => {
      this.#underWay.delete(tenantId)
      this.#pause.abort()
    })
    this.#underWay.set(tenantId, turn)
  }

  async #sendOldest(tenantId: string): Promise<void> {
    const batch = this.#oldestOf(tenantId)
    const failure = await this.#send(batch)
    if (failure === null) this.#held.delete(tenantId)
    else this.#hold(tenantId, batch.length, failure)
  }

  /** One tenant's trouble is nobody else's: only its own events wait. */
  #hold(tenantId: string, events: number, { reason, retryAfterMs }: Failure): void {
    const before = this.#held.get(tenantId)?.pauseMs
    const pauseMs = before === undefined ? FIRST_PAUSE_MS : Math.min(before * 2, LAST_PAUSE_MS)
    const waitMs = Math.max(pauseMs * (0.8 + Math.random() * 0.4), retryAfterMs)
    this.#held.set(tenantId, { pauseMs, until: Date.now() + waitMs })
    this.#log.warn({ tenantId, reason, events, waitMs }, 'events wait in the outbox')
  }

  /** Until a request ends, an event is added, or what is held for the shortest time may go. */
  async #untilOneMayGo(): Promise<void> {
    this.#pause = new AbortController()
    const signal = AbortSignal.any([this.#pause.signal, this.#closing.signal])
    const now = Date.now()
    const waits = [...this.#held.values()].map(({ until }) => until - now).filter((waitMs) => waitMs > 0)
    await sleep(Math.min(...waits, LAST_PAUSE_MS), undefined, { signal }).catch(() => undefined)
  }

  #hasWaiting(): boolean {
    return this.#waitingAfter('') !== null
  }

  /** The next one in turn that has events to send, is not held and has no request under way. */
  #nextTenant(): string | null {
    const seen = new Set<string>()
    let tenantId = this.#waitingAfter(this.#lastTurn) ?? this.#waitingAfter('')
    while (tenantId !== null && !seen.has(tenantId)) {
      const heldUntil = this.#held.get(tenantId)?.until ?? 0
      if (heldUntil <= Date.now() && !this.#underWay.has(tenantId)) return tenantId
      seen.add(tenantId)
      tenantId = this.#waitingAfter(tenantId) ?? this.#waitingAfter('')
    }
    return null
  }

  #waitingAfter(tenantId: string): string | null {
    const next = this.#db.get<{ tenant_id: string }>(
      'select tenant_id from outbox where refusal is null and tenant_id > ? order by tenant_id limit 1',
      tenantId,
    )
    return next?.tenant_id ?? null
  }

  #oldestOf(tenantId: string): OutboxEntry[] {
    return this.#db.all(
      'select * from outbox where refusal is null and tenant_id = ? order by seq limit ?',
      tenantId,
      BATCH_SIZE,
    )
  }

  /** @returns null when every event was acknowledged or refused for good */
  async #send(batch: OutboxEntry[]): Promise<Failure | null> {
    try {
      const response = await this.#post(batch)
      const text = await response.text()
      if (response.status === 202) {
        return this.#settle(batch, (JSON.parse(text) as { results: IntakeResult[] }).results)
      }
      if (REFUSED.has(response.status)) return await this.#refused(batch, response.status, text)
      const retryAfterMs = (Number(response.headers.get('retry-after')) || 0) * 1000
      return { reason: `answered ${response.status}: ${text}`, retryAfterMs }
    } catch (error) {
      const { message, cause } = error as Error
      return { reason: cause instanceof Error ? `${message}: ${cause.message}` : message, retryAfterMs: 0 }
    }
  }

  /** A batch that is refused as a whole goes in halves, until the one event that is to blame stands alone. */
  async #refused(batch: OutboxEntry[], status: number, text: string): Promise<Failure | null> {
    if (batch.length > 1) {
      const half = Math.ceil(batch.length / 2)
      return (await this.#send(batch.slice(0, half))) ?? (await this.#send(batch.slice(half)))
    }
    for (const { seq, id, event } of batch) {
      this.#db.run('update outbox set refusal = ? where seq = ?', `answered ${status}`, seq)
      this.#log.error({ id, event, status, text }, 'the event was refused')
    }
    return null
  }

  async #post(batch: OutboxEntry[]): Promise<Response> {
    const [first] = batch
    if (this.#intake === null || first === undefined) throw new Error('There is nowhere to send events to.')
    const { url, key } = this.#intake
    return fetch(`${url.replace(/\/+$/, '')}/api/events`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-tenant-id': first.tenant_id,
        ...(key !== null && { authorization: `Bearer ${key}` }),
      },
      body: JSON.stringify({
        events: batch.map(({ id, event, data, happened_at, causation_id, causation_depth }) => ({
          id,
          event,
          timestamp: happened_at,
          data: JSON.parse(data) as unknown,
          ...(causation_depth !== null && { causation: { id: causation_id, depth: causation_depth } }),
        })),
      }),
      signal: AbortSignal.any([this.#closing.signal, AbortSignal.timeout(TIMEOUT_MS)]),
    })
  }

  #settle(batch: OutboxEntry[], results: IntakeResult[]): Failure | null {
    const unsettled: string[] = []
    this.#db.transaction(() => {
      for (const [index, { seq, id, event }] of batch.entries()) {
        const result = results[index]
        if (result?.status === 'accepted' || result?.status === 'duplicate') {
          this.#db.run('delete from outbox where seq = ?', seq)
        } else if (result?.problem !== undefined && REFUSED.has(result.problem.status)) {
          // Sending it again would not help: kept for a person to look at, in nobody's way.
          this.#db.run('update outbox set refusal = ? where seq = ?', result.problem.code, seq)
          this.#log.error({ id, event, code: result.problem.code }, 'the event was refused')
        } else {
          unsettled.push(id)
        }
      }
    })
    return unsettled.length === 0 ? null : { reason: `not taken: ${unsettled.join(', ')}`, retryAfterMs: 0 }
  }
}

interface IntakeResult {
  status: 'accepted' | 'duplicate' | 'rejected'
  problem?: { code: string; status: number }
}
