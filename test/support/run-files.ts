import { type ChildProcess, spawn } from 'node:child_process'
import { type EventEmitter, once } from 'node:events'
import { glob, readFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
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

/** Of tap's options those that say how a run is shown. */
const OPTIONS = {
  reporter: { type: 'string', short: 'R' },
  'reporter-file': { type: 'string', short: 'f' },
  'reporter-arg': { type: 'string', short: 'r', multiple: true },
  color: { type: 'boolean', short: 'c' },
  'no-color': { type: 'boolean', short: 'C' },
} as const

/**
 * Tells files from options, which come back as `--name=value`. Ends the process, with what is wrong, at an option that
 * would have no effect.
 */
export function readArguments(args: readonly string[]): { files: string[]; options: string[] } {
  try {
    const { values, positionals: files } = parseArgs({
      args: [...args],
      options: OPTIONS,
      allowPositionals: true,
    })
    const options = Object.entries(values).flatMap(([name, value]) =>
      [value].flat().map((each) => (each === true ? `--${name}` : `--${name}=${String(each)}`)),
    )
    return { files, options }
  } catch (error) {
    const known = Object.keys(OPTIONS).map((name) => `--${name}`)
    return refuse(
      `${(error as Error).message}\nKnown are ${known.join(', ')}; jobs and timeout stand in .taprc.`,
    )
  }
}

function refuse(why: string): never {
  console.error(why)
  process.exit(2)
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
 * @param given options of tap's reporters; without, or with --reporter=tap, plain TAP is written unless this is a terminal
 */
export async function runFiles(files: readonly string[], given: readonly string[] = []): Promise<void> {
  const { files: others, options } = readArguments(given)
  if (others.length > 0) refuse(`${others.join(', ')}: only options are taken here.`)
  const ordered = await inOrder(files)
  const settings = parse(await readFile(join(ROOT, '.taprc'), 'utf8')) as Settings
  const environment = settings['test-env'].map((line): [string, string] => {
    const at = line.indexOf('=')
    return [line.slice(0, at), line.slice(at + 1)]
  })
  const reporter = startReporter(options)
  t.register()
  t.pipe(reporter?.stdin ?? process.stdout)
  t.setTimeout(0)
  passOnSignals()
  t.jobs = settings.jobs
  t.plan(ordered.length)
  const ended = ordered.map((file) =>
    // tap's spawn puts the loader into NODE_OPTIONS.
    t.spawn('/usr/bin/env', ['-u', 'NODE_OPTIONS', process.execPath, file], {
      name: file,
      cwd: ROOT,
      env: { ...process.env, ...Object.fromEntries(environment), TAP_TIMEOUT: String(settings.timeout) },
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
  const tap = join(ROOT, 'node_modules/.bin/tap')
  return spawn(process.execPath, [tap, '--disable-coverage', ...options, '-'], {
    cwd: ROOT,
    stdio: ['pipe', 'inherit', 'inherit'],
  })
}
