import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import pg from 'pg'
import type { Test } from 'tap'

/** The counterpart of the service, which lets the service's database crash when a certain call comes. */
export interface CrashSite {
  readonly url: string
  /** Forgets what has come, and crashes Postgres once the path's call of this number is there. */
  crashAt(path: string, number: number): Promise<void>
  /** Idempotency-Keys, or webhook-ids, that have come since then. */
  keys(): string[]
  /** Those that came more often than they should. */
  repeated(): string[]
  /** Crashes since then. */
  crashes(): number
}

/** Long enough for another worker to take what is free, once the server is there again. */
const HELD_MS = 2_000

/**
 * | path       | answer |
 * | ---------- | ------ |
 * | `/refused…` | 503 to the first of each key |
 * | `/deliver` | 202, completed as soon as the service takes it |
 * | all else   | 200 |
 */
export async function startCrashSite(
  t: Test,
  databaseUrl: string,
  service: () => string,
): Promise<CrashSite> {
  const calls = new Map<string, number>()
  const refused = new Set<string>()
  let ofPath = 0
  let target = { path: '', number: 0 }
  let crashes = 0
  let victim: { client: pg.Client; pid: number } | null = null

  /** The backend's number is known beforehand: nothing is written between the call and the crash. */
  function crash(): void {
    if (victim === null) throw new Error('nobody to kill')
    process.kill(victim.pid, 'SIGKILL')
    crashes++
  }

  async function complete(headers: IncomingHttpHeaders, body: string): Promise<void> {
    const { invocation_id: id } = JSON.parse(body) as { invocation_id: string }
    for (let status = 0; status !== 200 && status !== 409;) {
      await wait(100)
      const response = await fetch(`${service()}/api/actions/${id}/complete`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-completion-token': String(headers['x-completion-token']),
        },
        body: JSON.stringify({ success: true, data: {} }),
        signal: AbortSignal.timeout(60_000),
      }).catch(() => null)
      await response?.body?.cancel()
      status = response?.status ?? 0
    }
  }

  async function answer(path: string, headers: IncomingHttpHeaders, body: string, response: ServerResponse) {
    const key = String(headers['idempotency-key'] ?? headers['webhook-id'])
    const count = (calls.get(key) ?? 0) + 1
    calls.set(key, count)
    if (path === target.path && ++ofPath === target.number) {
      crash()
      await wait(HELD_MS)
    }
    const isRefused = path.startsWith('/refused') && count === 1
    if (isRefused) refused.add(key)
    const status = isRefused ? 503 : path === '/deliver' ? 202 : 200
    response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
    if (path === '/deliver') await complete(headers, body)
  }

  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('error', () => undefined)
    response.on('error', () => undefined)
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      void answer(request.url ?? '', request.headers, Buffer.concat(chunks).toString(), response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
    await victim?.client.end().catch(() => undefined)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async crashAt(path, number) {
      await victim?.client.end().catch(() => undefined)
      victim = await openVictim(databaseUrl)
      calls.clear()
      refused.clear()
      target = { path, number }
      ofPath = crashes = 0
    },
    keys: () => [...calls.keys()],
    repeated: () => [...calls].filter(([key, count]) => count > (refused.has(key) ? 2 : 1)).map(String),
    crashes: () => crashes,
  }
}

async function openVictim(databaseUrl: string): Promise<{ client: pg.Client; pid: number }> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5_000 })
  client.on('error', () => undefined)
  await client.connect()
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  return { client, pid: rows[0]?.pid ?? 0 }
}
