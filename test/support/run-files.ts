import { type ChildProcess, spawn } from 'node:child_process'
import { type EventEmitter, once } from 'node:events'
import { glob, readFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { SLOW_FILES } from '../slow-files.ts'
import { stopTestServer } from './postgres-server.ts'

const ROOT = resolve(import.meta.dirname, '../..')

interface Settings {
  timeout: number
  jobs: number
  'test-env': string[]
}

export async function filesOf(patterns: readonly string[]): Promise<string[]> {
  return (await Array.fromAsync(glob([...patterns], { cwd: ROOT }))).sort()
}

export function allFiles(): Promise<string[]> {
  return filesOf(['test/**/*.test.ts'])
}

/** In the order of test/slow-files.ts. */
export async function slowFiles(): Promise<string[]> {
  const lists = await Promise.all(SLOW_FILES.map(({ files }) => filesOf(files)))
  return lists.flat()
}

/**
 * Runs test files as `tap` does by .taprc, each as a process, and sets the exit code. tap itself starts each with a
 * loader that writes down which files it reads, for coverage and `--changed`, and hands it on to every process that a
 * test starts: that is half a second of CPU for each of them. Here Node starts them alone. Slow files come first, so
 * that the last one does not run long after the others.
 *
 * @param options of tap's reporters; without, or with --reporter=tap, plain TAP is written unless this is a terminal
 */
export async function runFiles(files: readonly string[], options: readonly string[] = []): Promise<void> {
  const settings = parse(await readFile(join(ROOT, '.taprc'), 'utf8')) as Settings
  const given = settings['test-env'].map((line): [string, string] => {
    const at = line.indexOf('=')
    return [line.slice(0, at), line.slice(at + 1)]
  })
  const reporter = startReporter(options)
  t.register()
  t.pipe(reporter?.stdin ?? process.stdout)
  t.setTimeout(0)
  passOnSignals()
  t.jobs = settings.jobs
  t.plan(files.length)
  const ended = (await inOrder(files)).map((file) =>
    // tap's spawn puts the loader into NODE_OPTIONS.
    t.spawn('/usr/bin/env', ['-u', 'NODE_OPTIONS', process.execPath, file], {
      name: file,
      cwd: ROOT,
      env: { ...process.env, ...Object.fromEntries(given), TAP_TIMEOUT: String(settings.timeout) },
      timeout: settings.timeout * 1_000,
      buffered: settings.jobs > 1,
      at: null,
      stack: '',
    }),
  )
  await Promise.all(ended)
  // A run inside of a test leaves the server to the other files of the run around it.
  if (process.env['TAP_CHILD_ID'] === undefined) await stopTestServer()
  if (reporter !== null && reporter.exitCode === null) await once(reporter, 'close')
}

/** A run that is ended takes its processes along. */
function passOnSignals(): void {
  const children = new Set<ChildProcess>()
  t.on('spawn', (file: EventEmitter) => file.on('process', (child: ChildProcess) => children.add(child)))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      for (const child of children) child.kill(signal)
      process.kill(process.pid, signal)
    })
  }
}

async function inOrder(files: readonly string[]): Promise<string[]> {
  const given = new Set(files.map((file) => relative(ROOT, resolve(file))))
  const slow = new Set(await slowFiles())
  return [...slow.intersection(given), ...given.difference(slow)]
}

function startReporter(options: readonly string[]) {
  const isPlain = options.length === 0 ? !process.stdout.isTTY : options.includes('--reporter=tap')
  if (isPlain) return null
  return spawn('tap', ['--disable-coverage', ...options, '-'], {
    cwd: ROOT,
    stdio: ['pipe', 'inherit', 'inherit'],
  })
}
