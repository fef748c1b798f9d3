import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from './free-port.ts'
import { eventually } from './deliveries.ts'

const DIRECTORIES = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']
const PROGRAM = DIRECTORIES.map((directory) => join(directory, 'pgbouncer')).find((path) => existsSync(path))
const NOBODY = 65_534
const START_TIMEOUT_MS = 10_000

/** The reason to skip tests that need PgBouncer; false: they run. In CI they always run, and fail without it. */
export const skipWithoutPgbouncer: string | false =
  PROGRAM === undefined && process.env['CI'] !== 'true'
    ? 'there is no pgbouncer: apt-get install pgbouncer'
    : false

/**
 * A PgBouncer in front of a database, with its own defaults but for the mode and the given `settings`. It ends with
 * the test.
 * @returns the URL of that database through it
 */
export async function startPgbouncer(
  t: Test,
  databaseUrl: string,
  poolMode: 'session' | 'transaction' | 'statement',
  settings: Readonly<Record<string, string | number>> = {},
): Promise<string> {
  if (PROGRAM === undefined) throw new Error('there is no pgbouncer')
  const target = new URL(databaseUrl)
  const directory = await mkdtemp(join(tmpdir(), 'bcs-pgbouncer-'))
  await chmod(directory, 0o755)
  const port = await freePort()
  const users = join(directory, 'users.txt')
  await writeFile(users, `"${target.username}" "${decodeURIComponent(target.password)}"\n`)
  const config = join(directory, 'pgbouncer.ini')
  const options = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'trust',
    auth_file: users,
    pool_mode: poolMode,
    ...settings,
  }
  const lines = Object.entries(options).map(([name, value]) => `${name} = ${value}`)
  await writeFile(
    config,
    `[databases]\n* = host=${target.hostname} port=${target.port}\n[pgbouncer]\n${lines.join('\n')}\n`,
  )
  const child = spawn(PROGRAM, [config], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // It refuses to run as root.
    ...(process.getuid?.() === 0 && { uid: NOBODY, gid: NOBODY }),
  })
  let log = ''
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(directory, { recursive: true, force: true })
  })
  await eventually(
    'pgbouncer listens',
    async () => {
      if (child.exitCode !== null) throw new Error(`pgbouncer ended while starting:\n${log}`)
      return isListening(port)
    },
    START_TIMEOUT_MS,
  )
  target.hostname = '127.0.0.1'
  target.port = String(port)
  return target.href
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
