import { type Account, attemptsOf, type PluginAccount } from './account.ts'

export interface Claim {
  text: string
  holds: boolean
}

/** What the demo says of the service, and whether it is so by these counts. */
export function checkClaims(account: Account): Claim[] {
  const { posted, feed, plugins } = account
  const hashes = new Map(posted.map(({ id, dataHash }) => [id, dataHash]))
  const arrivals = plugins.flatMap((each) => each.arrivals)
  const live = plugins.filter(({ plugin }) => plugin.failures !== null)
  const dead = plugins.filter(({ plugin }) => plugin.failures === null)
  return [
    {
      text: `all ${posted.length} posted events are in the feed, once each`,
      holds: isSameOnce(
        feed.filter(({ source }) => source !== 'system').map(({ id }) => id),
        posted.map(({ id }) => id),
      ),
    },
    {
      text: 'every event has one delivery to each plugin that subscribes to it, and to no other',
      holds: plugins.every(({ deliveries, wanted }) =>
        isSameOnce(
          deliveries.map((delivery) => delivery.event_id),
          wanted.map(({ id }) => id),
        ),
      ),
    },
    {
      text: 'every plugin that works has accepted each of its events once',
      holds: live.every(({ accepted, wanted }) =>
        isSameOnce(
          accepted.map(({ eventId }) => eventId),
          wanted.map(({ id }) => id),
        ),
      ),
    },
    {
      text: 'the attempts in the log are the requests that the receiver counted',
      holds: live.every((each) => attemptsOf(each.deliveries) === each.arrivals.length),
    },
    {
      text: 'the plugin that failed at first has everything, too, for as many attempts more as it failed',
      holds: live.every((each) => each.arrivals.length - each.accepted.length === each.plugin.failures),
    },
    {
      text: `all ${arrivals.length} requests were signed: standardwebhooks verified each`,
      holds: arrivals.length > 0 && arrivals.every(({ verified }) => verified),
    },
    {
      text: 'all data arrived as it was posted',
      holds: arrivals.every(({ eventId, dataHash }) => (hashes.get(eventId) ?? dataHash) === dataHash),
    },
    {
      text: 'the dead plugin lost nothing: its deliveries wait, or have failed after all their attempts',
      holds: dead.every(isAccountedFor),
    },
  ]
}

function isAccountedFor({ deliveries, arrivals }: PluginAccount): boolean {
  return (
    arrivals.length === 0 &&
    attemptsOf(deliveries) > 0 &&
    deliveries.every(
      ({ status, attempt_count, last_error_class }) =>
        status !== 'sent' && (attempt_count === 0 || last_error_class === 'connect_refused'),
    )
  )
}

/** Both name the same ids, and each of them once. */
function isSameOnce(ids: readonly string[], expected: readonly string[]): boolean {
  const distinct = new Set(ids)
  return (
    ids.length === expected.length && distinct.size === ids.length && expected.every((id) => distinct.has(id))
  )
}
