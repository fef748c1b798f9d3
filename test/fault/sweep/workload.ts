import { setTimeout as wait } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import { retryWhilePassing } from '#db/retry.ts'
import type { DB } from '#db/schema.ts'
import type { CanonicalFlow, CanonicalStep } from '#lib/flow/types.ts'
import { flowOf, publishFlow, step, wait as pause } from '#test/modules/flow-engine/support.ts'
import { eventually } from '#test/support/deliveries.ts'
import { type Counterpart } from '../flow-counterpart.ts'
import type { Supervisor } from './supervisor.ts'

const AGAIN_MS = 50
const PATIENCE_MS = 120_000
const ITEMS = [1, 2]
/** Paths and how many keys each order has there. */
const CALLS: Readonly<Record<string, number>> = {
  '/hook': 1,
  '/stamp': 1,
  '/first': 1,
  '/item': ITEMS.length,
  '/deliver': 1,
  '/last': 1,
}

/**
 * One shop's orders. Of each order an event is taken in, a plugin is told of it, a flow runs (calls, a loop, a wait, an
 * action that is completed later), and an action is dispatched.
 */
export class Workload {
  readonly tenantId = crypto.randomUUID()
  readonly #supervisor: Supervisor
  readonly #counterpart: Counterpart
  readonly #db: Kysely<DB>

  /** @param db a way to the database that no fault lies on */
  constructor(supervisor: Supervisor, counterpart: Counterpart, db: Kysely<DB>) {
    this.#supervisor = supervisor
    this.#counterpart = counterpart
    this.#db = db
  }

  async prepare(): Promise<void> {
    const { url } = this.#counterpart
    await this.#ask(
      '/api/plugins',
      {
        name: 'counterpart',
        slug: 'counterpart',
        webhook_url: `${url}/hook`,
        events: ['order.created'],
        retry_schedule: [1, 1, 1, 1, 1],
      },
      ({ status }) => status === 201,
    )
    const actions = ['stamp', 'deliver'].map((name) => ({
      action_type: name,
      title: name,
      endpoint: `/${name}`,
    }))
    await this.#ask('/api/plugins/counterpart/register-actions', { actions }, ({ status }) => status === 200)
    await publishFlow(this.#db, this.tenantId, theFlow(url))
  }

  /** Sends one order and asks again until it is taken. @returns the event's id */
  async send(number: number): Promise<string> {
    const order = { id: `order-${number}`, event: 'order.created', data: { number } }
    const dispatch = {
      flow_execution_id: `order-${number}`,
      events: [{ action_type: 'stamp', payload: { number }, event_key: 'stamp' }],
    }
    const [event] = await Promise.all([
      this.#ask('/api/events', order, ({ status }) => status === 202),
      this.#ask('/api/plugins/events/automation', dispatch, ({ status, body }) => {
        const result = (body as DispatchAnswer).results?.[0]
        // What another request is at, or nobody has begun, is asked for again; all else is a failure.
        const isOpen = ['in_progress', 'interrupted', 'overloaded'].includes(result?.error?.code ?? '')
        if (status === 200 && result?.success !== true && !isOpen) throw new Error(JSON.stringify(body))
        return status === 200 && result?.success === true
      }),
    ])
    return (event as { id: string }).id
  }

  /** Resolves when everything of an order has come to its end, in the database and at the counterpart. */
  async ended(eventId: string): Promise<void> {
    await eventually(
      `order ${eventId} has ended`,
      async () => {
        // With the server away there is no answer; the next look has one.
        const found = await this.#countOf(eventId).catch(() => null)
        return found !== null && found.executions > 0 && found.open === 0
      },
      PATIENCE_MS,
    )
  }

  /** What is not as it has to be after so many orders, one sentence each. */
  async broken(eventIds: readonly string[]): Promise<string[]> {
    const orders = eventIds.length
    const counts = await retryWhilePassing(PATIENCE_MS, () => this.#counts())
    const wanted: typeof counts = {
      events: orders,
      deliveries: orders,
      deliveries_sent: orders,
      executions: orders,
      executions_completed: orders,
      waits: 0,
      invocations: 2 * orders,
      invocations_succeeded: 2 * orders,
      dispatches_logged: orders,
    }
    const found = [...this.#counterpart.faults]
    const expect = (what: string, is: number, wanted: number): void => {
      if (is !== wanted) found.push(`${what}: ${is}, not ${wanted}`)
    }
    expect('ids of events', new Set(eventIds).size, orders)
    for (const [what, count] of Object.entries(wanted)) expect(what, counts[what] ?? 0, count)
    for (const [path, each] of Object.entries(CALLS)) {
      const keys = [...this.#counterpart.calls.values()].filter((calls) => calls.path === path)
      expect(`keys at ${path}`, keys.length, each * orders)
    }
    if (counts['executions_completed'] !== orders) found.push(...(await this.#otherEnds()))
    return found
  }

  /** Requests that came again under a key that had come before. */
  get repeated(): number {
    const calls = [...this.#counterpart.calls.values()]
    return calls.reduce((sum, { at }) => sum + at.length - 1, 0)
  }

  async #counts(): Promise<Record<string, number>> {
    const ofShop = sql`where tenant_id = ${this.tenantId}`
    const { rows } = await sql<Record<string, string>>`
      select
        (select count(*) from events ${ofShop} and event = 'order.created') as events,
        (select count(*) from deliveries ${ofShop}) as deliveries,
        (select count(*) from deliveries ${ofShop} and status = 'sent') as deliveries_sent,
        (select count(*) from automation_executions ${ofShop}) as executions,
        (select count(*) from automation_executions ${ofShop} and status = 'completed') as executions_completed,
        (select count(*) from automation_waits ${ofShop}) as waits,
        (select count(*) from action_invocations ${ofShop}) as invocations,
        (select count(*) from action_invocations ${ofShop} and status = 'succeeded') as invocations_succeeded,
        (select count(*) from automation_event_log ${ofShop} and action_type = 'stamp' and success)
          as dispatches_logged
    `.execute(this.#db)
    return Object.fromEntries(Object.entries(rows[0] ?? {}).map(([what, count]) => [what, Number(count)]))
  }

  /** Returns how executions ended that did not complete, with their errors. */
  async #otherEnds(): Promise<string[]> {
    const { rows } = await sql<{ ended: string }>`
      select concat_ws(' ', event_id, status, reason, error::text) as ended from automation_executions
      where tenant_id = ${this.tenantId} and status <> 'completed'`.execute(this.#db)
    return rows.map(({ ended }) => ended)
  }

  async #countOf(eventId: string): Promise<{ executions: number; open: number }> {
    const { rows } = await sql<{ executions: string; open: string }>`
      select
        (select count(*) from automation_executions
         where tenant_id = ${this.tenantId} and event_id = ${eventId}) as executions,
        (select count(*) from automation_executions
         where tenant_id = ${this.tenantId} and event_id = ${eventId} and finished_at is null)
        + (select count(*) from deliveries
           where tenant_id = ${this.tenantId} and event_id = ${eventId} and status not in ('sent', 'failed')) as open
    `.execute(this.#db)
    return { executions: Number(rows[0]?.executions), open: Number(rows[0]?.open) }
  }

  /** Posts until the answer is the one that a client waits for. @returns its body */
  async #ask(path: string, body: unknown, isTaken: (answer: Answer) => boolean): Promise<unknown> {
    const end = performance.now() + PATIENCE_MS
    for (;;) {
      const response = await this.#supervisor.process
        ?.request('POST', path, { tenantId: this.tenantId, body })
        .catch(() => null)
      const text = await response?.text().catch(() => null)
      if (response !== null && response !== undefined && typeof text === 'string') {
        const answer = { status: response.status, body: JSON.parse(text) as unknown }
        if (isTaken(answer)) return answer.body
        if (answer.status >= 400 && answer.status < 500) throw new Error(text)
        if (performance.now() > end) throw new Error(text)
      } else if (performance.now() > end) throw new Error(`${path} was not answered`)
      await wait(AGAIN_MS)
    }
  }
}

interface Answer {
  status: number
  body: unknown
}

interface DispatchAnswer {
  results?: { success: boolean; error: { code: string } | null }[]
}

function theFlow(url: string): CanonicalFlow {
  const retry = { max_retries: 5, base_ms: 100, cap_ms: 1_000 }
  const http = (path: string, to: string, loop: string | null = null): CanonicalStep =>
    step({
      type: 'http',
      config: {
        method: 'POST',
        url: url + path,
        headers: {},
        body: { number: '{{trigger.number}}', item: loop === null ? null : '{{item}}' },
      },
      next: { success: to },
      loop,
      retry,
    })
  return flowOf({
    first: http('/first', 'loop'),
    loop: step({
      type: 'for_each',
      config: { list: ITEMS, body: 'item', max_items: 10, concurrency: 2 },
      next: { done: 'rest' },
    }),
    item: http('/item', 'end', 'loop'),
    rest: pause(100, 'deliver'),
    deliver: step({
      type: 'action',
      config: {
        action_type: 'deliver',
        plugin_id: 'counterpart',
        input: { number: '{{trigger.number}}' },
      },
      next: { success: 'last' },
      retry,
    }),
    last: http('/last', 'end'),
  })
}
