import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { freePort } from './free-port.ts'
import { TEST_PLATFORM_KEY } from './app.ts'
import { eventually } from './deliveries.ts'
import { CHILD_ENV } from './child-env.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const START_TIMEOUT_MS = 120_000
const REQUEST_TIMEOUT_MS = 60_000
export const MAX_TRIES = 20
export const TRY_AGAIN_MS = 500

/** One for all processes of a test file, so that they open each other's secrets. */
export const TEST_MASTER_KEY = randomBytes(32).toString('base64')

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

/** `src/server.ts` as a process of its own, as it runs in production. */
export interface ServiceProcess {
  readonly url: string
  readonly pid: number
  /** Its log, `warn` and worse, and its other output. */
  readonly log: string[]
  readonly exited: Promise<Exit>
  kill(signal: NodeJS.Signals): void
  /** A request with the platform's key for a tenant; rejects when there is no answer. */
  request(method: string, path: string, options?: { tenantId?: string; body?: unknown }): Promise<Response>
  /** The value of a counter or gauge, summed over its labels. */
  metric(name: string): Promise<number>
}

export interface ServiceOptions {
  databaseUrl: string
  env?: Record<string, string>
  /** For a process that takes another one's place. Default: a free one. */
  port?: number
  /** The number of files and sockets that it may have open. Default: as many as this process. */
  openFiles?: number
  /** The checkout to run. Default: this one. */
  root?: string
}

/** Starts a process and resolves once it is ready. It is killed with the test. */
export async function startService(t: Test, options: ServiceOptions): Promise<ServiceProcess> {
  const port = options.port ?? (await freePort())
  const url = `http://127.0.0.1:${port}`
  const program = [process.execPath, join(options.root ?? ROOT, 'src/server.ts')]
  const limited = ['/bin/sh', '-c', `ulimit -n ${options.openFiles}; exec "$0" "$@"`, ...program]
  const [command = '', ...args] = options.openFiles === undefined ? program : limited
  const child = spawn(command, args, {
    // Not the checkout: a developer's .env is no part of a test.
    cwd: tmpdir(),
    env: {
      ...CHILD_ENV,
      HOME: process.env['HOME'],
      DATABASE_URL: options.databaseUrl,
      HOST: '127.0.0.1',
      PORT: String(port),
      PLATFORM_KEY: TEST_PLATFORM_KEY,
      MASTER_KEY: TEST_MASTER_KEY,
      EGRESS_ALLOW: '127.0.0.0/8',
      LOG_LEVEL: 'warn',
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const log: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => log.push(...text.split('\n').filter(Boolean)))
  }
  let ended = false
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = true
      resolve({ code, signal })
    })
  })
  t.teardown(async () => {
    if (!ended) child.kill('SIGKILL')
    await exited
  })
  const service: ServiceProcess = {
    url,
    pid: child.pid ?? 0,
    log,
    exited,
    kill: (signal) => void child.kill(signal),
    request: (method, path, { tenantId, body } = {}) =>
      askAgain(() =>
        fetch(url + path, {
          method,
          headers: {
            authorization: `Bearer ${TEST_PLATFORM_KEY}`,
            ...(tenantId !== undefined && { 'x-tenant-id': tenantId }),
            ...(body !== undefined && { 'content-type': 'application/json' }),
          },
          ...(body !== undefined && { body: JSON.stringify(body) }),
          signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        }),
      ),
    async metric(name) {
      const text = await (await service.request('GET', '/metrics')).text()
      return text
        .split('\n')
        .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
    },
  }
  await eventually(
    'the service is ready',
    async () => {
      if (ended) throw new Error(`the service ended while starting:\n${log.join('\n')}`)
      return isReady(service)
    },
    START_TIMEOUT_MS,
  )
  return service
}

let refusals = 0

/** Returns the number of requests of this test file that were refused as overloaded; the report has it. */
export function refusedRequests(): number {
  return refusals
}

process.once('exit', () => {
  if (refusals > 0) console.log(`# ${refusals} requests were refused as overloaded, and sent again`)
})

/**
 * Sends a request that is refused because the process is overloaded again, as callers are told to: on a machine that is
 * busy with other tests its event loop is late without any load of its own. Gives the last answer after some tries.
 */
export async function askAgain(ask: () => Promise<Response>): Promise<Response> {
  for (let tries = 1; ; tries++) {
    const response = await ask()
    if (response.status !== 503) return response
    const { code } = (await response
      .clone()
      .json()
      .catch(() => ({}))) as { code?: string }
    if (code !== 'overloaded') return response
    refusals++
    if (tries === MAX_TRIES) return response
    await delay(TRY_AGAIN_MS)
  }
}

export async function isReady(service: ServiceProcess): Promise<boolean> {
  const response = await service.request('GET', '/health/ready').catch(() => null)
  await response?.body?.cancel()
  return response?.status === 200
}
