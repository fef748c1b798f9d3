import { setTimeout as delay } from 'node:timers/promises'

/** What one shop, or somebody without a key, can do to be in the way of the other shops. */
export interface AttackContext {
  /** Of the service. */
  url: string
  /** What a caller with the platform key sends along. */
  headers: (tenantId: string) => Record<string, string>
  /** An endpoint that never answers. */
  hangingUrl: string
  /** How large it is, of 1. */
  scale: number
}

export interface Attack {
  name: string
  /** Requests under way at once, with a scale of 1. */
  atOnce: number
  /** Statuses of those that are not turned away because there are too many. */
  answers: readonly number[]
  /** Makes what it needs for the shop. @returns what is sent again and again */
  prepare(context: AttackContext, tenantId: string): Promise<() => Promise<number>>
}

/** @returns the status; 0: the connection was closed */
async function send(
  url: string,
  headers: Record<string, string>,
  body?: string,
  method = body === undefined ? 'GET' : 'POST',
): Promise<number> {
  try {
    const answer = await fetch(url, {
      method,
      headers,
      body: body ?? null,
    })
    await answer.arrayBuffer()
    return answer.status
  } catch {
    return 0
  }
}

/** @throws when it is not made */
async function make(context: AttackContext, tenantId: string, path: string, fields: object): Promise<string> {
  const answer = await fetch(`${context.url}${path}`, {
    method: 'POST',
    headers: context.headers(tenantId),
    body: JSON.stringify(fields),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${path}: ${answer.status}: ${text}`)
  return text
}

function eventOf(data: object): string {
  return JSON.stringify({ event: 'order.created', data })
}

function plugin(name: string, url: string, events: unknown[]): object {
  return { name, slug: name, webhook_url: url, events, timeout_ms: 30_000 }
}

const contains = (needle: string): object => ({ field: 'text', operator: 'contains', value: needle })

export const ATTACKS: readonly Attack[] = [
  {
    name: 'expensive filters',
    atOnce: 4,
    answers: [202],
    prepare: async (context, tenantId) => {
      const value = Array.from({ length: 100 }, (_, n) => `${'x'.repeat(40)}${n}`)
      const any = Array.from({ length: 20 }, (_, n) => ({ field: `rows.${n}.text`, operator: 'in', value }))
      // Each item of a list is compared with the whole list, and with it again: all that an event may cost.
      let nested: object = { field: 'item', operator: 'equals', value: 1 }
      for (let level = 0; level < 4; level++) nested = { field: 'list', operator: 'all', value: nested }
      for (let n = 0; n < 10; n++) {
        const filter = { any: [...any, contains(`never there ${n}`), nested] }
        const events = [{ event: 'order.created', filter }]
        await make(context, tenantId, '/api/plugins', plugin(`filters-${n}`, context.hangingUrl, events))
      }
      const rows = Array.from({ length: 300 }, () => ({ text: `${'a'.repeat(90)}!` }))
      const event = {
        event: 'order.created',
        data: { text: 'a'.repeat(20_000), rows, list: Array(300).fill(1) },
      }
      // As much as one request may cost.
      const body = JSON.stringify({ events: Array.from({ length: 60 }, () => event) })
      return () => send(`${context.url}/api/events`, context.headers(tenantId), body)
    },
  },
  {
    name: 'quadratic contains',
    atOnce: 2,
    answers: [202],
    prepare: async (context, tenantId) => {
      const half = 'a'.repeat(490)
      const any = Array.from({ length: 6 }, (_, n) => contains(`${half}b${half}${'a'.repeat(n)}`))
      const events = [{ event: 'order.created', filter: { any } }]
      await make(context, tenantId, '/api/plugins', plugin('quadratic', context.hangingUrl, events))
      const body = eventOf({ text: 'a'.repeat(Math.round(250_000 * Math.max(0.5, context.scale))) })
      return () => send(`${context.url}/api/events`, context.headers(tenantId), body)
    },
  },
  {
    name: 'many active flows',
    atOnce: 4,
    answers: [202],
    prepare: async (context, tenantId) => {
      for (let n = 0; n < Math.max(20, 200 * context.scale); n++) {
        await make(context, tenantId, '/api/automation/flows', {
          name: `Flow ${n}`,
          status: 'active',
          trigger: { type: 'event', event_types: ['order.created'], filter: contains('never there') },
          steps: [{ id: 'note', type: 'set', variables: { text: 'x'.repeat(2_000) } }],
        })
      }
      const body = eventOf({ text: 'x'.repeat(20_000) })
      return () => send(`${context.url}/api/events`, context.headers(tenantId), body)
    },
  },
  {
    name: 'slow endpoints',
    atOnce: 4,
    answers: [202],
    prepare: async (context, tenantId) => {
      for (let n = 0; n < 20; n++) {
        const fields = { ...plugin(`slow-${n}`, context.hangingUrl, ['order.*']), max_in_flight: 64 }
        await make(context, tenantId, '/api/plugins', fields)
      }
      const body = eventOf({ text: 'x' })
      return () => send(`${context.url}/api/events`, context.headers(tenantId), body)
    },
  },
  {
    name: 'slow actions',
    atOnce: 20,
    answers: [200],
    prepare: async (context, tenantId) => {
      await make(context, tenantId, '/api/plugins', plugin('slow', context.hangingUrl, []))
      const action = { action_type: 'sleep', title: 'Sleep', description: 'Sleeps', timeout_ms: 2_000 }
      await make(context, tenantId, '/api/plugins/slow/register-actions', { actions: [action] })
      const events = Array.from({ length: 20 }, () => ({ action_type: 'sleep', payload: {} }))
      const body = JSON.stringify({ mode: 'parallel', events })
      return () => send(`${context.url}/api/events/automation`, context.headers(tenantId), body)
    },
  },
  {
    name: 'slow list reads of a viewer',
    atOnce: 30,
    answers: [200],
    prepare: async (context, tenantId) => {
      const made = await make(context, tenantId, '/api/keys', { name: 'v', kind: 'tenant', role: 'viewer' })
      const { key } = JSON.parse(made) as { key: string }
      const paths = ['events?q=nowhere', 'search?q=nowhere', 'automation/executions?q=nowhere', 'overview']
      let turn = 0
      return () =>
        send(`${context.url}/api/${paths[turn++ % paths.length] ?? ''}`, { authorization: `Bearer ${key}` })
    },
  },
  {
    name: 'large bodies without a key',
    atOnce: 8,
    answers: [401, 404],
    prepare: async (context) => {
      const body = eventOf({ text: 'x'.repeat(1_000_000) })
      const paths = ['events', 'nowhere', `actions/${crypto.randomUUID()}/complete`]
      let turn = 0
      return () =>
        send(
          `${context.url}/api/${paths[turn++ % paths.length] ?? ''}`,
          { 'content-type': 'application/json' },
          body,
        )
    },
  },
  {
    name: 'floods of definitions',
    atOnce: 4,
    answers: [200],
    prepare: async (context, tenantId) => {
      let turn = 0
      // No pattern comes twice: what is compiled is remembered.
      const conditionOf = (step: number, request: number): object => ({
        any: Array.from({ length: 100 }, (_, n) => ({
          field: 'note',
          operator: 'matches',
          value: `^(a|b)+x${request}y${step}z${n}[a-z]{3,9}$`,
        })),
      })
      const trigger = { type: 'event', event_types: ['order.created'] }
      return () => {
        const request = turn++
        const steps = Array.from({ length: 90 }, (_, n) => ({
          id: `check_${n}`,
          type: 'condition',
          condition: conditionOf(n, request),
          on_true: 'end',
          on_false: 'end',
        }))
        const body = JSON.stringify({ name: 'Flood', trigger, steps })
        return send(`${context.url}/api/automation/flows/validate`, context.headers(tenantId), body)
      }
    },
  },
  {
    name: 'batches of intake',
    atOnce: 8,
    answers: [202],
    prepare: async (context, tenantId) => {
      for (let n = 0; n < 3; n++) {
        await make(context, tenantId, '/api/plugins', plugin(`batches-${n}`, context.hangingUrl, ['order.*']))
      }
      const event = { event: 'order.created', data: { text: 'x'.repeat(4_000) } }
      const body = JSON.stringify({ events: Array.from({ length: 1_000 }, () => event) })
      return () => send(`${context.url}/api/events`, context.headers(tenantId), body)
    },
  },
  {
    name: 'writes of configuration',
    atOnce: 40,
    answers: [200, 201, 204],
    prepare: async (context, tenantId) => {
      await make(context, tenantId, '/api/plugins', plugin('written', context.hangingUrl, ['order.created']))
      const events = Array.from({ length: 50 }, (_, n) => ({
        event: `order.kind_${n}`,
        filter: contains(`needle ${n}`),
      }))
      const flow = {
        name: 'Written',
        status: 'active',
        trigger: { type: 'event', event_types: ['order.written'] },
        steps: [{ id: 'note', type: 'set', variables: { text: 'x'.repeat(2_000) } }],
      }
      const made = await make(context, tenantId, '/api/automation/flows', flow)
      const { id } = JSON.parse(made) as { id: string }
      const headers = context.headers(tenantId)
      let turn = 0
      return async () => {
        const n = turn++
        const [path, method, fields] =
          [
            [
              'plugins/written',
              'PATCH',
              { name: `Written ${n}`, events: n % 2 === 0 ? events : ['order.*'] },
            ],
            ['plugins', 'POST', plugin(`written-${n}`, context.hangingUrl, events)],
            [`automation/flows/${id}`, 'PUT', { ...flow, name: `Written anew ${n}` }],
            ['automation/flows', 'POST', { ...flow, name: `Written ${n}` }],
            ['keys', 'POST', { name: `k${n}`, kind: 'tenant', role: 'viewer' }],
          ][n % 5] ?? []
        return send(`${context.url}/api/${path as string}`, headers, JSON.stringify(fields), method as string)
      }
    },
  },
  {
    name: 'bodies of 8 MiB with a key',
    atOnce: 8,
    answers: [400, 413, 422],
    prepare: async (context, tenantId) => {
      const count = 550_000
      const members = Array.from({ length: count }, (_, n) => `"m${n}":0`).join(',')
      const bodies = [
        `{"event":"order.created","data":{${members}}}`,
        `{"event":"order.created","data":{"list":[${'0,'.repeat(4_000_000)}0]}}`,
        `{"events":[${'0,'.repeat(4_000_000)}0]}`,
        `{"event":"order.created","data":{"text":"${'x'.repeat(8_000_000)}"}}`,
      ]
      let turn = 0
      return () =>
        send(`${context.url}/api/events`, context.headers(tenantId), bodies[turn++ % bodies.length] ?? '')
    },
  },
  {
    name: 'thousands that wait for one event',
    atOnce: 2,
    answers: [202],
    prepare: async (context, tenantId) => {
      const headers = context.headers(tenantId)
      const value = Array.from({ length: 100 }, (_, n) => `${'x'.repeat(40)}${n}`)
      await make(context, tenantId, '/api/automation/flows', {
        name: 'Waits',
        status: 'active',
        trigger: { type: 'event', event_types: ['order.created'] },
        steps: [
          {
            id: 'paid',
            type: 'wait_event',
            event: 'order.paid',
            match: 'trigger.order_id',
            filter: { field: 'event.data.text', operator: 'in', value },
            timeout: '2 days',
            on_received: 'end',
            on_timeout: 'end',
          },
        ],
      })
      const most = 500
      const count = Math.max(most, Math.round(5_000 * context.scale))
      const event = { event: 'order.created', data: { order_id: 'o1' } }
      for (let sent = 0; sent < count; sent += most) {
        const events = Array.from({ length: most }, () => event)
        await make(context, tenantId, '/api/events', { events })
      }
      await waitsOf(context, tenantId, count)
      const body = JSON.stringify({
        event: 'order.paid',
        data: { order_id: 'o1', text: 'y'.repeat(1_000) },
      })
      return () => send(`${context.url}/api/events`, headers, body)
    },
  },
  {
    name: 'large deliveries to slow endpoints',
    atOnce: 4,
    answers: [202],
    prepare: async (context, tenantId) => {
      for (let n = 0; n < 20; n++) {
        const fields = { ...plugin(`large-${n}`, context.hangingUrl, ['order.*']), max_in_flight: 64 }
        await make(context, tenantId, '/api/plugins', fields)
      }
      const body = eventOf({ text: 'x'.repeat(1_000_000) })
      return () => send(`${context.url}/api/events`, context.headers(tenantId), body)
    },
  },
]

const WAITS_TIMEOUT_MS = 120_000
const POLL_MS = 200

/** Resolves once so many executions of the shop wait. */
async function waitsOf(context: AttackContext, tenantId: string, count: number): Promise<void> {
  const endsAt = performance.now() + WAITS_TIMEOUT_MS
  for (let used = 0; used < count;) {
    if (performance.now() > endsAt) throw new Error(`${used} of ${count} executions wait`)
    await delay(POLL_MS)
    const answer = await fetch(`${context.url}/api/usage`, { headers: context.headers(tenantId) })
    const { quotas } = (await answer.json()) as { quotas: Record<string, { used: number }> }
    used = quotas['waiting_executions']?.used ?? 0
  }
}

/**
 * Goes on with an attack until the signal is aborted.
 *
 * @returns its answers by status
 */
export async function attack(
  { atOnce }: Pick<Attack, 'atOnce'>,
  once: () => Promise<number>,
  { scale, signal }: { scale: number; signal: AbortSignal },
): Promise<Record<number, number>> {
  const answers: Record<number, number> = {}
  const goOn = async (): Promise<void> => {
    while (!signal.aborted) {
      const status = await once()
      answers[status] = (answers[status] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, Math.round(atOnce * scale)) }, goOn))
  return answers
}
