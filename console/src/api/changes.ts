import { followStream, pause, REFUSED_MS } from './follow-stream.ts'
import { session } from './session.svelte.ts'

/** The lists that GET /api/stream tells of. */
const TOPICS = [
  'events',
  'deliveries',
  'executions',
  'plugins',
  'replays',
  'recoveries',
  'erasures',
  'bulk_changes',
  'delivery_retries',
] as const
export type ChangeTopic = (typeof TOPICS)[number]

/** The time within which many changes cause one look. */
const GAP_MS = 1_000
/** From one page to the next the connection stays. */
const LINGER_MS = 1_000

interface Follower {
  topics: readonly ChangeTopic[]
  hear: () => void
}

const followers = new Set<Follower>()
let connection: { name: string; end: () => void } | null = null
let lingering: ReturnType<typeof setTimeout> | null = null

/**
 * Calls the listener when lists of these topics may read differently: at once, and then no sooner than after the gap.
 * Returns how to stop. Nothing is heard while the page is hidden; when it is seen again it is called once.
 */
export function followChanges(
  topics: readonly ChangeTopic[],
  listener: () => void,
  gapMs: number = GAP_MS,
): () => void {
  let timer: ReturnType<typeof setTimeout> | null = null
  let isDue = false
  const hear = (): void => {
    isDue = true
    if (timer !== null) return
    isDue = false
    listener()
    timer = setTimeout(() => {
      timer = null
      if (isDue) hear()
    }, gapMs)
  }
  const follower: Follower = { topics, hear }
  followers.add(follower)
  settle()
  return () => {
    if (timer !== null) clearTimeout(timer)
    followers.delete(follower)
    if (lingering !== null) clearTimeout(lingering)
    lingering = setTimeout(settle, LINGER_MS)
  }
}

function tell(topics: readonly ChangeTopic[]): void {
  for (const follower of [...followers]) {
    if (follower.topics.some((topic) => topics.includes(topic))) follower.hear()
  }
}

/** Returns the name of the audience: pages with the same cookie and shop hear the same. */
function nameOfAudience(): string | null {
  if (followers.size === 0 || document.hidden || session.info === null) return null
  return `bcs.changes ${session.info.tenant_id ?? ''} ${session.shop ?? ''}`
}

function settle(): void {
  const name = nameOfAudience()
  if (name === (connection?.name ?? null)) return
  connection?.end()
  connection = name === null ? null : connect(name)
}

/**
 * Browsers have six connections to a service. Pages that are open side by side share one stream: the page that holds the
 * lock of the name follows it and passes on what it hears. A page in a frame has a session of its own and follows alone,
 * and so does each page where the address is not trusted with locks.
 */
function connect(name: string): NonNullable<typeof connection> {
  const ending = new AbortController()
  const { signal } = ending
  const isAlone = session.isOfPage || !('locks' in navigator)
  const channel = isAlone ? null : new BroadcastChannel(name)
  channel?.addEventListener('message', ({ data }) => tell(data as ChangeTopic[]))
  const follow = async (): Promise<void> =>
    followStream(
      {
        path: '/api/stream',
        onEvent: ({ event, data }) => {
          if (event !== 'changed') return false
          const { topics } = JSON.parse(data) as { topics: ChangeTopic[] }
          tell(topics)
          channel?.postMessage(topics)
          return false
        },
        onRefused: async () => {
          await pause(REFUSED_MS, signal)
          return false
        },
      },
      signal,
    )
  // A follower that ends while it waits for its turn is no failure.
  void (isAlone ? follow() : navigator.locks.request(name, { signal }, follow).catch(() => undefined))
  return {
    name,
    end: () => {
      ending.abort()
      channel?.close()
    },
  }
}

document.addEventListener('visibilitychange', () => {
  settle()
  // Changes that another page hears of meanwhile were not told to this one.
  if (!document.hidden) tell(TOPICS)
})
