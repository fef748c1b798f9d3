import { createRequire } from 'node:module'
import type { Api, EventType } from './api.ts'
import { hashOf, nowMs } from './arrival.ts'
import { PLUGINS, wants } from './plugins.ts'

export interface DemoEvent {
  event: string
  data: object
}

export interface PostedEvent {
  id: string
  event: string
  dataHash: string
  /** When its request was sent, as `nowMs()`. */
  postedAt: number
}

const BATCH_SIZE = 25

/** The samples of the service's catalogue; what it says of plugins is its own to say. */
export async function catalogueEvents(api: Api): Promise<DemoEvent[]> {
  const types = await api.all<EventType>('/api/event-types')
  return types.flatMap(({ name, sample }) =>
    sample === null || name.startsWith('plugin.') ? [] : [{ event: name, data: sample }],
  )
}

/** What GitHub really sends, as event types of the shop's own. */
export function githubEvents(): DemoEvent[] {
  // Required, because the package's types are for its CommonJS side.
  const examples = createRequire(import.meta.url)('@octokit/webhooks-examples') as GithubWebhook[]
  return examples.flatMap(({ name, examples: payloads }) =>
    payloads.map((data) => ({ event: `github.${name}`, data })),
  )
}

/** One request for each event. @throws if one is not accepted for the plugins that want it */
export async function postSingly(api: Api, events: readonly DemoEvent[]): Promise<PostedEvent[]> {
  const posted: PostedEvent[] = []
  for (const event of events) {
    const postedAt = nowMs()
    const { id, deliveries } = await api.post<{ id: string; deliveries: number }>('/api/events', event)
    posted.push(accepted(event, { id, deliveries }, postedAt))
  }
  return posted
}

/** One request for each batch. @throws like `postSingly` */
export async function postInBatches(
  api: Api,
  events: readonly DemoEvent[],
  onProgress: (count: number) => void,
): Promise<PostedEvent[]> {
  const posted: PostedEvent[] = []
  for (let start = 0; start < events.length; start += BATCH_SIZE) {
    const batch = events.slice(start, start + BATCH_SIZE)
    const postedAt = nowMs()
    const { results } = await api.post<{ results: BatchEntry[] }>('/api/events', { events: batch })
    posted.push(...batch.map((event, index) => accepted(event, results[index], postedAt)))
    onProgress(posted.length)
  }
  return posted
}

interface GithubWebhook {
  name: string
  examples: object[]
}

interface BatchEntry {
  id?: string
  deliveries?: number
}

function accepted({ event, data }: DemoEvent, result: BatchEntry | undefined, postedAt: number): PostedEvent {
  const expected = PLUGINS.filter((plugin) => wants(plugin, event)).length
  if (result?.id === undefined || result.deliveries !== expected) {
    throw new Error(`${event} should go to ${expected} plugins, but the answer is ${JSON.stringify(result)}`)
  }
  return { id: result.id, event, dataHash: hashOf(data), postedAt }
}
