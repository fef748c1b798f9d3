import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { CHILD_ENV } from '#test/support/child-env.ts'

const EXAMPLES = resolve(import.meta.dirname, '../../examples')

/** One of the examples as a process of its own, on any free port unless `env` says which. */
export function startExample(t: Test, name: string, env: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, [resolve(EXAMPLES, name, 'server.ts')], {
    env: { ...CHILD_ENV, PORT: '0', AUTOMATION_URL: 'http://127.0.0.1:1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await closed
  })
  return child
}

/**
 * Returns the URL at which the process listens. Reads on to the end, so that the process never waits for a reader.
 * Reads on to the end, so that the process never waits for a reader.
 */
export async function urlOf({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('not piped')
  const lines = createInterface(stdout)
  const listening = new Promise<string>((resolve) => {
    lines.on('line', (line) => {
      const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(line.includes('listening') ? line : '') ?? []
      if (url !== undefined) resolve(url)
    })
  })
  const ended = once(lines, 'close').then(() => {
    throw new Error('it ended before it listened')
  })
  return Promise.race([listening, ended])
}
