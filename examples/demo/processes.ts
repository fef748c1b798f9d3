import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { startEmbeddedPostgres } from '#tools/embedded-postgres/index.ts'
import type { Arrival, Endpoint, Listening } from './arrival.ts'

const ROOT = resolve(import.meta.dirname, '../..')
/** The service closes within 10 s by itself. */
const CLOSE_TIMEOUT_MS = 12_000
const LINES_KEPT = 20

/** Starts something that `cleanup` ends; aborting gives up waiting for it. */
export interface StartOptions {
  cleanup: AsyncDisposableStack
  signal: AbortSignal
}

/**
 * The service as `npm start` starts it, on an embedded Postgres in `directory`.
 * @returns its URL
 */
export async function startService(
  directory: string,
  environment: Record<string, string>,
  { cleanup, signal }: StartOptions,
): Promise<string> {
  const dataDir = resolve(directory, 'data')
  const child = spawn(process.execPath, [resolve(ROOT, 'src/server.ts')], {
    // Away from a .env that is meant for something else.
    cwd: directory,
    env: { PATH: process.env['PATH'], HOST: '127.0.0.1', PORT: '0', DATA_DIR: dataDir, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  cleanup.defer(async () => {
    if (await endsWell(child)) return
    // It was cut short, so that its Postgres may still be there.
    await (await startEmbeddedPostgres({ dataDir, log: { info: () => undefined } })).stop()
  })
  const lines: string[] = []
  const listening = new Promise<string>((resolve) => {
    // Read to their end, so that the service never waits for a reader.
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on('line', (line) => {
        lines.push(line)
        if (lines.length > LINES_KEPT) lines.shift()
        const [, url] = /listening on (http:\/\/[\d.:]+)/.exec(line) ?? []
        if (url !== undefined) resolve(url)
      })
    }
  })
  return firstOf(listening, child, signal, () => `the service ended:\n${lines.join('\n')}`)
}

/** @returns its URL, and how to tell it of a plugin */
export async function startReceiver(
  onArrival: (arrival: Arrival) => void,
  { cleanup, signal }: StartOptions,
): Promise<{ url: string; expect(endpoint: Endpoint): void }> {
  const child = fork(resolve(import.meta.dirname, 'receiver.ts'))
  cleanup.defer(async () => {
    await endsWell(child)
  })
  const listening = new Promise<string>((resolve) => {
    child.on('message', (message: Arrival | Listening) => {
      if ('url' in message) resolve(message.url)
      else onArrival(message)
    })
  })
  const url = await firstOf(listening, child, signal, () => 'the receiver ended')
  return {
    url,
    expect: (endpoint) => {
      child.send(endpoint)
    },
  }
}

async function firstOf(
  listening: Promise<string>,
  child: ChildProcess,
  signal: AbortSignal,
  ended: () => string,
): Promise<string> {
  const waiting = new AbortController()
  try {
    return await Promise.race([
      listening,
      once(child, 'exit', { signal: AbortSignal.any([signal, waiting.signal]) }).then(() => {
        throw new Error(ended())
      }),
    ])
  } finally {
    waiting.abort()
  }
}

/** Ends a process. @returns whether it did so by itself and without complaint */
async function endsWell(child: ChildProcess): Promise<boolean> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_TIMEOUT_MS)
    await exited
    clearTimeout(timer)
  }
  return child.exitCode === 0
}
