import { Agent, fetch, type Response } from 'undici'

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
  /** Server-sent events, until the service or the reader ends them. */
  follow(path: string): AsyncGenerator<{ event: string; data: unknown }>
}

const PAGE_SIZE = 200

/** @throws with the problem's own words when the answer is not 2xx */
export function createApi(url: string, signal: AbortSignal): Api {
  const agent = new Agent()
  const request = async (method: string, path: string, body?: unknown): Promise<Response> => {
    const response = await fetch(url + path, {
      method,
      signal,
      dispatcher: agent,
      ...(body !== undefined && {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    })
    if (response.ok) return response
    throw new Error(`${method} ${path} was answered ${response.status}: ${await response.text()}`)
  }
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> =>
    (await request(method, path, body)).json()
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
    follow: async function* (path: string) {
      const { body } = await request('GET', path)
      if (body !== null) yield* eventsOf(body.pipeThrough(new TextDecoderStream()))
    },
  }
}

interface Page<T> {
  data: T[]
  next_cursor: string | null
  has_more?: boolean
}

/** Comments and `retry` are left out. */
async function* eventsOf(chunks: AsyncIterable<string>): AsyncGenerator<{ event: string; data: unknown }> {
  let text = ''
  for await (const chunk of chunks) {
    const blocks = (text + chunk).split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const [, event = ''] = /^event: (.*)$/m.exec(block) ?? []
      const [, data = ''] = /^data: (.*)$/m.exec(block) ?? []
      if (event !== '') yield { event, data: JSON.parse(data) as unknown }
    }
  }
}
