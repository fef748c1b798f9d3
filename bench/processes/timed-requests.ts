/** A caller of the API: requests over some connections, each as soon as the one before is answered, timed one by one. */
import { Pool } from 'undici'
import { serve } from '../support/ipc.ts'
import { percentile, sortNumbers } from '../support/stats.ts'

export interface TimedRequests {
  method: 'GET' | 'POST'
  /** Origin, path and query. */
  url: string
  headers: Record<string, string>
  body: string | null
  count: number
  connections: number
  /** The text that stands in every answer; an answer without it fails the run. */
  expect: string
}

export interface Timings {
  perSecond: number
  /** Milliseconds. */
  p50: number
  p95: number
}

const pools = new Map<string, Pool>()

function poolOf(origin: string, connections: number): Pool {
  const name = `${origin} ${connections}`
  let pool = pools.get(name)
  if (pool === undefined) pools.set(name, (pool = new Pool(origin, { connections })))
  return pool
}

async function run(load: TimedRequests): Promise<Timings> {
  const { method, headers, body, count, connections, expect } = load
  const { origin, pathname, search } = new URL(load.url)
  const pool = poolOf(origin, connections)
  const times: number[] = []
  let started = 0
  const request = async (): Promise<void> => {
    const sentAt = performance.now()
    const answer = await pool.request({ method, path: pathname + search, headers, body })
    const text = await answer.body.text()
    times.push(performance.now() - sentAt)
    if (!text.includes(expect)) throw new Error(`answered ${answer.statusCode}: ${text.slice(0, 500)}`)
  }
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (started++ < count) await request()
    }),
  )
  const seconds = (performance.now() - startedAt) / 1_000
  const sorted = sortNumbers(times)
  return { perSecond: count / seconds, p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95) }
}

export type Commands = typeof commands

const commands = { run }

serve(commands)
