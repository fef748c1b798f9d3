import type { Api, Delivery, FeedEvent } from './api.ts'
import type { Arrival } from './arrival.ts'
import type { PostedEvent } from './events.ts'
import { type DemoPlugin, PLUGINS, wants } from './plugins.ts'

/** What the service says of a plugin, beside what its endpoint has seen. */
export interface PluginAccount {
  plugin: DemoPlugin
  /** The events of the feed that it subscribes to. */
  wanted: FeedEvent[]
  deliveries: Delivery[]
  arrivals: Arrival[]
  accepted: Arrival[]
  /** Milliseconds from the event's post to the arrival that was accepted, shortest first. */
  latencies: number[]
}

export interface Account {
  posted: readonly PostedEvent[]
  feed: FeedEvent[]
  plugins: PluginAccount[]
}

export async function takeAccount(
  api: Api,
  posted: readonly PostedEvent[],
  arrivals: readonly Arrival[],
): Promise<Account> {
  const feed = await api.all<FeedEvent>('/api/events')
  const deliveries = await api.all<Delivery>('/api/plugins/events')
  const postedAt = new Map(posted.map((event) => [event.id, event.postedAt]))
  const plugins = PLUGINS.map((plugin): PluginAccount => {
    const own = arrivals.filter((arrival) => arrival.plugin === plugin.slug)
    const accepted = own.filter(({ status }) => status < 300)
    return {
      plugin,
      wanted: feed.filter(({ event }) => wants(plugin, event)),
      deliveries: deliveries.filter((delivery) => delivery.plugin === plugin.slug),
      arrivals: own,
      accepted,
      latencies: accepted
        .flatMap(({ eventId, at }) => at - (postedAt.get(eventId) ?? NaN))
        .filter((latency) => !Number.isNaN(latency))
        .sort((a, b) => a - b),
    }
  })
  return { posted, feed, plugins }
}

/** Nothing more is going to happen soon: what works has everything, what does not is being left alone and told of. */
export function isSettled({ feed, plugins }: Account): boolean {
  const told = feed.some(({ event }) => event === 'plugin.failing')
  return (
    told &&
    plugins.every(
      ({ plugin, wanted, deliveries }) =>
        plugin.failures === null ||
        (deliveries.length === wanted.length && deliveries.every(({ status }) => status === 'sent')),
    )
  )
}

export function countByStatus(deliveries: readonly Delivery[]): Record<Delivery['status'], number> {
  const counts = { sent: 0, retry: 0, pending: 0, failed: 0 }
  for (const { status } of deliveries) counts[status]++
  return counts
}

export function attemptsOf(deliveries: readonly Delivery[]): number {
  return deliveries.reduce((sum, delivery) => sum + delivery.attempt_count, 0)
}
