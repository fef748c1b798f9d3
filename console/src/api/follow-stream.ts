import { readEvents, type ServerEvent } from './server-events.ts'
import { session } from './session.svelte.ts'

/** After a stream that the service has ended, as it does after a time. */
const COME_BACK_MS = 2_000
/** After failures in a row: the service may be away for long. */
const RETRY_MS = [2_000, 4_000, 8_000, 15_000] as const
const LONGEST_RETRY_MS = 15_000
/** A service that is busy, or has too many who follow, is read by the clock meanwhile. */
export const REFUSED_MS = 30_000
/** The service says every 15 s that it lives. */
const SILENCE_MS = 45_000
/** It has ended, or is not ours to hear. */
const OVER = [204, 401, 403, 404]

/**
 * `refused`: the service is busy, or too many follow. `retryAt`: when the next try is, in milliseconds since 1970.
 */
export type StreamState = { is: 'connecting' | 'live' | 'refused' } | { is: 'offline'; retryAt: number }

export interface FollowedStream {
  path: string
  /** Asked at each connection. */
  headers?: () => Record<string, string>
  /** Is also told of the end that the signal brings, which is no failure: look at the signal. */
  onState: (state: StreamState) => void
  /** Returns true when there is nothing more to hear. */
  onEvent: (event: ServerEvent) => boolean
  /** The service is busy, or too many follow. Returns true when there is no need to come back. */
  onRefused: () => Promise<boolean>
}

/**
 * Follows server-sent events by `fetch`, which can send the headers of a session, and comes back after each break.
 * Resolves when there is nothing more to hear, or the signal says so.
 */
export async function followStream(stream: FollowedStream, signal: AbortSignal): Promise<void> {
  let failures = 0
  const onOpen = (): void => {
    failures = 0
    stream.onState({ is: 'live' })
  }
  while (!signal.aborted) {
    stream.onState({ is: 'connecting' })
    let ms = COME_BACK_MS
    try {
      if (await listen(stream, signal, onOpen)) return
      stream.onState({ is: 'connecting' })
    } catch {
      ms = RETRY_MS[failures] ?? LONGEST_RETRY_MS
      failures += 1
      stream.onState({ is: 'offline', retryAt: Date.now() + ms })
    }
    await pause(ms, signal)
  }
}

/** True: there is nothing more to hear. */
async function listen(stream: FollowedStream, signal: AbortSignal, onOpen: () => void): Promise<boolean> {
  const silence = new AbortController()
  const heard = (): ReturnType<typeof setTimeout> => setTimeout(() => silence.abort(), SILENCE_MS)
  let timer = heard()
  try {
    const answer = await fetch(stream.path, {
      headers: { ...session.headers, ...stream.headers?.() },
      signal: AbortSignal.any([signal, silence.signal]),
    })
    session.seeStatus(answer.status)
    if (OVER.includes(answer.status)) return true
    // What stands before the service answers for it while it is away; a refusal of its own has a problem.
    const isProblem = answer.headers.get('content-type')?.startsWith('application/problem+json') === true
    if (answer.status >= 500 && !isProblem) throw new Error(`The service is away: ${answer.status}`)
    if (!answer.ok || answer.body === null) {
      stream.onState({ is: 'refused' })
      return await stream.onRefused()
    }
    onOpen()
    const onChunk = (): void => {
      clearTimeout(timer)
      timer = heard()
    }
    for await (const event of readEvents(answer.body, onChunk)) if (stream.onEvent(event)) return true
    return false
  } finally {
    clearTimeout(timer)
  }
}

const wakers = new EventTarget()

/** Ends the pauses of all streams of this page: they try again at once. */
export function tryAgainNow(): void {
  wakers.dispatchEvent(new Event('now'))
}

/** Until the time is over, the browser is online again, somebody wants it now, or the signal says so. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      removeEventListener('online', end)
      wakers.removeEventListener('now', end)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    addEventListener('online', end)
    wakers.addEventListener('now', end)
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
  })
}
