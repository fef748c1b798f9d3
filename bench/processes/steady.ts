/** Sends events at a steady rate, whether or not the earlier ones have been answered. `data.sent_at` has the time. */
import { setTimeout as delay } from 'node:timers/promises'
import { Pool } from 'undici'
import { serve } from '../support/ipc.ts'
import { clockMicros } from '../support/stats.ts'

export interface SteadyLoad {
  /** Origin and path. */
  url: string
  /** Used in turn: the headers and type of each event. */
  senders: readonly { headers: Record<string, string>; event: string }[]
  perSecond: number
  seconds: number
}

export interface SteadyResult {
  sent: number
  /** Answers that were not 2xx, by status, and errors by code. */
  refused: Record<string, number>
}

const CONNECTIONS = 64
/** Makes an event's body about 0.3 KB. */
const PAD = 'x'.repeat(100)

async function run({ url, senders, perSecond, seconds }: SteadyLoad): Promise<SteadyResult> {
  const { origin, pathname } = new URL(url)
  const pool = new Pool(origin, { connections: CONNECTIONS })
  const refused: Record<string, number> = {}
  const refuse = (why: string): void => void (refused[why] = (refused[why] ?? 0) + 1)
  const open = new Set<Promise<void>>()
  const total = Math.round(perSecond * seconds)
  const startedAt = performance.now()
  for (let sent = 0; sent < total; sent++) {
    const waitMs = startedAt + (sent * 1_000) / perSecond - performance.now()
    if (waitMs > 0) await delay(waitMs)
    const sender = senders[sent % senders.length]
    if (sender === undefined) throw new Error('there are no senders')
    const request: Promise<void> = post(pool, pathname, sender)
      .then((status) => {
        if (status >= 300) refuse(String(status))
      })
      .catch((error: unknown) => refuse((error as Error & { code?: string }).code ?? 'error'))
      .finally(() => open.delete(request))
    open.add(request)
  }
  await Promise.all(open)
  await pool.close()
  return { sent: total, refused }
}

async function post(
  pool: Pool,
  path: string,
  { headers, event }: SteadyLoad['senders'][number],
): Promise<number> {
  const body = JSON.stringify({ event, data: { id: 4711, sent_at: clockMicros(), text: PAD } })
  const { statusCode, body: answer } = await pool.request({ method: 'POST', path, headers, body })
  await answer.dump()
  return statusCode
}

export type Commands = typeof commands

const commands = { run }

serve(commands)
