import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { findFreePort } from '#tools/embedded-postgres/postmaster.ts'
import type { Bed } from './bed.ts'

/** The product as a process of its own: `node src/server.ts`. */
export interface Service extends AsyncDisposable {
  readonly url: string
  readonly pid: number
}

export interface ServiceOptions {
  databaseUrl: string
  roles: 'api' | 'worker' | 'api,worker'
  /** The folder for a CPU profile of the process; null: none is taken. */
  profileFolder: string | null
  /** Settings that differ from the defaults. */
  env: Record<string, string>
}

const SERVER = join(import.meta.dirname, '../../src/server.ts')
const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 12_000
const POLL_MS = 50
const LOG_TAIL_CHARS = 3_000

/** With the defaults, so that the log is written as in production. */
export async function startService(bed: Bed, options: ServiceOptions): Promise<Service> {
  const port = await findFreePort()
  const url = `http://127.0.0.1:${port}`
  const logPath = join(bed.folder, `service-${port}.log`)
  const log = createWriteStream(logPath)
  await once(log, 'open')
  const { profileFolder } = options
  const profile = profileFolder === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`]
  const child = spawn(process.execPath, [...profile, SERVER], {
    // Away from the checkout, whose .env is not meant for this.
    cwd: bed.folder,
    stdio: ['ignore', log, log],
    env: {
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: join(bed.folder, 'compiled'),
      HOST: '127.0.0.1',
      PORT: String(port),
      DATABASE_URL: options.databaseUrl,
      DATA_DIR: bed.folder,
      ROLES: options.roles,
      MASTER_KEY: bed.masterKey.toString('base64'),
      PLATFORM_KEY: bed.platformKey,
      EGRESS_ALLOW: '127.0.0.0/8',
      ...options.env,
    },
  })
  log.close()
  const exited = once(child, 'exit')
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await exited
    clearTimeout(late)
  }
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!(await isReady(url))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await stop()
      throw new Error(
        `the service did not start:\n${(await readFile(logPath, 'utf8')).slice(-LOG_TAIL_CHARS)}`,
      )
    }
    await delay(POLL_MS)
  }
  return { url, pid: child.pid ?? 0, [Symbol.asyncDispose]: stop }
}

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health/ready`)
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}
