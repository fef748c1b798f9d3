import { readEvents, type ServerEvent } from './server-events.ts'
import { session } from './session.svelte.ts'

const COME_BACK_MS = 2_000
/** A service that is busy, or has too many who follow, is read by the clock meanwhile. */
export const REFUSED_MS = 30_000
/** The service says every 15 s that it lives. */
const SILENCE_MS = 45_000
/** It has ended, or is not ours to hear. */
const OVER = [204, 401, 403, 404]

export interface FollowedStream {
  path: string
  /** Asked at each connection. */
  headers?: () => Record<string, string>
  onConnecting?: () => void
  onOpen?: () => void
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
  while (!signal.aborted) {
    stream.onConnecting?.()
    try {
      if (await listen(stream, signal)) return
    } catch {
      // The connection broke: it comes back.
    }
    await pause(COME_BACK_MS, signal)
  }
}

/** True: there is nothing more to hear. */
async function listen(stream: FollowedStream, signal: AbortSignal): Promise<boolean> {
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
    if (!answer.ok || answer.body === null) return await stream.onRefused()
    stream.onOpen?.()
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

/** Until the time is over, the browser is online again, or the signal says so. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      removeEventListener('online', end)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    addEventListener('online', end)
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
  })
}
