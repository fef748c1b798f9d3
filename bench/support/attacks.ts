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
async function send(url: string, headers: Record<string, string>, body?: string): Promise<number> {
  try {
    const answer = await fetch(url, {
      method: body === undefined ? 'GET' : 'POST',
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
      for (let n = 0; n < 10; n++) {
        const events = [{ event: 'order.created', filter: { any: [...any, contains(`never there ${n}`)] } }]
        await make(context, tenantId, '/api/plugins', plugin(`filters-${n}`, context.hangingUrl, events))
      }
      const rows = Array.from({ length: 300 }, () => ({ text: `${'a'.repeat(90)}!` }))
      const body = eventOf({ text: 'a'.repeat(20_000), rows })
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
      const any = Array.from({ length: 100 }, (_, n) => ({
        field: 'note',
        operator: 'matches',
        value: `^(a|b)+x${n}[a-z]{3,9}$`,
      }))
      const steps = Array.from({ length: 20 }, (_, n) => ({
        id: `check_${n}`,
        type: 'condition',
        condition: { any },
        on_true: 'end',
        on_false: 'end',
      }))
      const trigger = { type: 'event', event_types: ['order.created'] }
      const body = JSON.stringify({ name: 'Flood', trigger, steps })
      return () => send(`${context.url}/api/automation/flows/validate`, context.headers(tenantId), body)
    },
  },
]

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
