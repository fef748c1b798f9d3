import { CHANGE_TOPICS, type ChangeTopic } from '../../../src/lib/change-topics.ts'
import { followStream, pause, REFUSED_MS, type StreamState, tryAgainNow } from './follow-stream.ts'
import { session } from './session.svelte.ts'
import { changesStream } from './stream-state.svelte.ts'

/** The time within which many changes cause one look. */
const GAP_MS = 1_000
/** From one page to the next the connection stays. */
const LINGER_MS = 1_000

interface Follower {
  topics: readonly ChangeTopic[]
  hear: () => void
}

/** What pages that share a stream say to one another. */
type Message =
  | { topics: ChangeTopic[] }
  | { state: StreamState }
  /** Who follows tells how it stands, or tries again at once. */
  | { ask: 'state' | 'now' }

interface Connection {
  name: string
  end: () => void
  tryAgain: () => void
}

const followers = new Set<Follower>()
let connection: Connection | null = null
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
  return `bcs.live ${session.info.tenant_id ?? ''} ${session.shop ?? ''}`
}

function settle(): void {
  const name = nameOfAudience()
  if (name === (connection?.name ?? null)) return
  connection?.end()
  changesStream.state = { is: 'connecting' }
  connection = name === null ? null : connect(name)
}

/**
 * Browsers have six connections to a service. Pages that are open side by side share one stream: the page that holds the
 * lock of the name follows it and passes on what it hears. A page in a frame has a session of its own and follows alone,
 * and so does each page where the address is not trusted with locks.
 */
function connect(name: string): Connection {
  const ending = new AbortController()
  const { signal } = ending
  const isAlone = session.isOfPage || !('locks' in navigator)
  const channel = isAlone ? null : new BroadcastChannel(name)
  let isFollowing = false
  const send = (message: Message): void => channel?.postMessage(message)
  channel?.addEventListener('message', ({ data }) => {
    const message = data as Message
    if ('topics' in message) tell(message.topics)
    else if ('state' in message) changesStream.state = message.state
    else if (!isFollowing) return
    else if (message.ask === 'now') tryAgainNow()
    else send({ state: changesStream.state })
  })
  const follow = async (): Promise<void> => {
    isFollowing = true
    await followStream(
      {
        path: '/api/stream',
        onState: (state) => {
          // It may be another one's by now.
          if (signal.aborted) return
          changesStream.state = state
          send({ state })
        },
        onEvent: ({ event, data }) => {
          if (event !== 'changed') return false
          const { topics } = JSON.parse(data) as { topics: ChangeTopic[] }
          tell(topics)
          send({ topics })
          return false
        },
        onRefused: async () => {
          await pause(REFUSED_MS, signal)
          return false
        },
      },
      signal,
    )
  }
  send({ ask: 'state' })
  // A follower that ends while it waits for its turn is no failure.
  void (isAlone ? follow() : navigator.locks.request(name, { signal }, follow).catch(() => undefined))
  return {
    name,
    end: () => {
      ending.abort()
      channel?.close()
    },
    tryAgain: () => {
      if (isFollowing) tryAgainNow()
      else send({ ask: 'now' })
    },
  }
}

/** Ends the pause before the next try to connect, in whichever page it is. */
export function followNow(): void {
  connection?.tryAgain()
}

document.addEventListener('visibilitychange', () => {
  settle()
  // Changes that another page hears of meanwhile were not told to this one.
  if (!document.hidden) tell(CHANGE_TOPICS)
})
