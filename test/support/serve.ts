import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Test } from 'tap'
import { CHILD_ENV } from './child-env.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const START_TIMEOUT_MS = 120_000

export interface LogLine {
  level: string
  msg: string
  [field: string]: unknown
}

export interface Server {
  process: ChildProcess
  /** Returns the URL at which it listens. Rejects when it ends before. */
  url(): Promise<string>
  /** Everything it wrote, as text. */
  output(): string
  log(): LogLine[]
  /** Resolves with the first line that has this message. */
  line(message: RegExp): Promise<LogLine>
  exit: Promise<{ code: number | null; signal: string | null }>
}

/** `node src/server.ts` in a folder of its own, with only the given environment. */
export async function serve(t: Test, env: Record<string, string>, dataDir?: string): Promise<Server> {
  const directory = dataDir ?? (await temporaryFolder(t))
  const child = spawn(process.execPath, [join(ROOT, 'src/server.ts')], {
    cwd: directory,
    env: { ...CHILD_ENV, PORT: '0', DATA_DIR: directory, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  const wakers = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part
      for (const wake of wakers) wake()
    })
  }
  const exit = once(child, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
  }))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })
  const log = (): LogLine[] =>
    text
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as LogLine)
  const line = (message: RegExp): Promise<LogLine> =>
    new Promise((resolveLine, reject) => {
      const check = (): void => {
        const found = log().find(({ msg }) => message.test(msg))
        if (found === undefined) return
        finish()
        resolveLine(found)
      }
      const give = (why: string) => (): void => {
        finish()
        reject(new Error(`${why} before ${message}:\n${text}`))
      }
      const timer = setTimeout(give('nothing'), START_TIMEOUT_MS)
      const finish = (): void => {
        clearTimeout(timer)
        wakers.delete(check)
      }
      wakers.add(check)
      void exit.then(give('it ended'))
      check()
    })
  return {
    process: child,
    url: async () => /http:\S+/.exec((await line(/^listening on/)).msg)?.[0] ?? '',
    output: () => text,
    log,
    line,
    exit,
  }
}

export async function temporaryFolder(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'bettercallsold-server-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}
