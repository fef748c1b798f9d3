import { Agent, fetch } from 'undici'

export interface EventType {
  name: string
  sample: Record<string, unknown> | null
}

export interface FeedEvent {
  id: string
  event: string
  source: string
}

export interface Delivery {
  id: string
  event_id: string
  event: string
  plugin: string
  status: 'pending' | 'sent' | 'retry' | 'failed'
  reason: string | null
  attempt_count: number
  last_error_class: string | null
}

export interface DeliveryDetail extends Delivery {
  attempts: { number: number; error_class: string | null; error_detail: string | null }[]
}

export interface Plugin {
  slug: string
  waiting: number
  health: {
    breaker: 'closed' | 'open' | 'half_open'
    consecutive_failures: number
    hold_until: string | null
  }
}

export interface Api extends AsyncDisposable {
  get<T>(path: string): Promise<T>
  post<T>(path: string, body: unknown): Promise<T>
  /** Every entry of a list, page by page. */
  all<T>(path: string): Promise<T[]>
}

const PAGE_SIZE = 200

/** @throws with the problem's own words when the answer is not 2xx */
export function createApi(url: string, signal: AbortSignal): Api {
  const agent = new Agent()
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(url + path, {
      method,
      signal,
      dispatcher: agent,
      ...(body !== undefined && {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${text}`)
    return JSON.parse(text)
  }
  return {
    // A connection that stays open without a request would hold up the service's closing.
    [Symbol.asyncDispose]: () => agent.destroy(),
    get: async <T>(path: string) => (await call('GET', path)) as T,
    post: async <T>(path: string, body: unknown) => (await call('POST', path, body)) as T,
    all: async <T>(path: string) => {
      const entries: T[] = []
      let cursor = ''
      for (;;) {
        const page = (await call('GET', `${path}?limit=${PAGE_SIZE}${cursor}`)) as Page<T>
        entries.push(...page.data)
        // The feed always says where to go on, and whether that is now.
        if (page.next_cursor === null || page.has_more === false) return entries
        cursor = `&cursor=${encodeURIComponent(page.next_cursor)}`
      }
    },
  }
}

interface Page<T> {
  data: T[]
  next_cursor: string | null
  has_more?: boolean
}
