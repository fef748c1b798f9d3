/** The endpoint of plugins: answers 204 and counts, takes latencies on `/latency/<group>`, never answers on `/hang`. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { serve } from '../support/ipc.ts'
import { clockMicros, percentile, sortNumbers } from '../support/stats.ts'

export interface Latencies {
  count: number
  p50: number
  p95: number
  p99: number
  max: number
}

let received = 0
let latencies = new Map<string, number[]>()
let lastAt = 0
const waiters = new Set<() => void>()

const server = createServer((request, response) => {
  const url = request.url ?? ''
  if (url.startsWith('/hang')) {
    request.resume()
    return
  }
  const group = url.startsWith('/latency/') ? url.slice('/latency/'.length) : null
  const chunks: Buffer[] | null = group === null ? null : []
  request.on('data', (chunk: Buffer) => chunks?.push(chunk))
  request.on('end', () => {
    received++
    lastAt = performance.now()
    if (group !== null && chunks !== null) noteLatency(group, chunks)
    response.writeHead(204).end()
    for (const check of waiters) check()
  })
})
// A connection that dies before its request is whole is the sender's matter.
server.on('clientError', (_error, socket) => socket.destroy())
server.keepAliveTimeout = 60_000

function noteLatency(group: string, chunks: readonly Buffer[]): void {
  const now = clockMicros()
  // An event's data, or a flow's input for an action made of it.
  const { data, payload } = JSON.parse(Buffer.concat(chunks).toString()) as Partial<
    Record<'data' | 'payload', { sent_at?: number }>
  >
  const { sent_at: sentAt } = data ?? payload ?? { sent_at: now }
  // Of a queue that was filled before.
  if (sentAt === undefined) return
  const values = latencies.get(group) ?? []
  values.push((now - sentAt) / 1_000)
  latencies.set(group, values)
}

/** Looks at every request; resolves when it holds or when time is up. */
async function until(holds: () => boolean, timeoutMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      waiters.delete(check)
      resolve()
    }
    const check = (): void => {
      if (holds()) end()
    }
    const timer = setTimeout(end, timeoutMs)
    waiters.add(check)
    check()
  })
}

export type Commands = typeof commands

const commands = {
  /** Listens on a free port. @returns its origin */
  listen: async (_: null): Promise<string> => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4_096, resolve))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  },
  reset: async (_: null): Promise<void> => {
    received = 0
    latencies = new Map()
  },
  count: async (_: null): Promise<number> => received,
  /** Resolves once so many requests have come, or when time is up. @returns how many came */
  waitFor: async ({ count, timeoutMs }: { count: number; timeoutMs: number }): Promise<number> => {
    await until(() => received >= count, timeoutMs)
    return received
  },
  waitForGroup: async (wait: { group: string; count: number; timeoutMs: number }): Promise<void> =>
    until(() => (latencies.get(wait.group)?.length ?? 0) >= wait.count, wait.timeoutMs),
  /** Resolves once nothing has come for `quietMs`. @returns how many came */
  waitForQuiet: async ({ quietMs, timeoutMs }: { quietMs: number; timeoutMs: number }): Promise<number> => {
    const endsAt = performance.now() + timeoutMs
    for (let restMs = quietMs; restMs > 0 && performance.now() < endsAt;) {
      await delay(restMs)
      restMs = lastAt + quietMs - performance.now()
    }
    return received
  },
  /** In milliseconds, since the last `reset`. */
  latencies: async ({ group }: { group: string }): Promise<Latencies> => {
    const sorted = sortNumbers(latencies.get(group) ?? [])
    return {
      count: sorted.length,
      p50: percentile(sorted, 0.5),
      p95: percentile(sorted, 0.95),
      p99: percentile(sorted, 0.99),
      max: percentile(sorted, 1),
    }
  },
}

serve(commands)
