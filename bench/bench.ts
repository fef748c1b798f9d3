/**
 * `npm run bench`: measures the service beside what the machine can do at most, prints a table and keeps the figures
 * as JSON in bench/results/. It starts all that it needs, on loopback only, and removes it. With DATABASE_URL it
 * makes databases of its own on that server. Exit code 0: every figure was taken, and meets its target where
 * that is a gate; 1: not; 2: the command line is not usable. Small loads (--quick) have no gates.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { format, resolveConfig } from 'prettier'
import { FIGURES } from './figures.ts'
import { type Bed, prepareBed } from './support/bed.ts'
import { type Figure, missedGates, type Row } from './support/figure.ts'
import { describeMachine } from './support/machine.ts'
import { documentOf, type Report, tableOf } from './support/report.ts'
import { Stage } from './support/stage.ts'

const USAGE = `Usage: npm run bench -- [options]
  --quick            small loads: shows that every figure can be taken, not what it is
  --only <names>     only these, comma separated: ${FIGURES.map(({ name }) => name).join(', ')}
  --json <path>      where the figures go (default: bench/results/<time>.json)
  --cpu-prof <dir>   leaves a CPU profile of every service process there
  --env <name=value> a variable of the service's environment; may be given several times
  --write-docs       writes docs/performance.md`

const ROOT = join(import.meta.dirname, '..')
const DOCUMENT = join(ROOT, 'docs/performance.md')
/** Written by hand, from profiles: the end of the page. */
const PROFILE = join(ROOT, 'bench/where-the-time-goes.md')
const EXIT_FAILED = 1
const EXIT_USAGE = 2
/** A machine so slow, or a process so stuck, that the figures would say nothing. */
const TIMEOUT_MS = 25 * 60_000

const startedAt = performance.now()

function say(message: string): void {
  const seconds = Math.round((performance.now() - startedAt) / 1_000)
  console.error(`${String(seconds).padStart(4)} s  ${message}`)
}

interface Options {
  figures: readonly Figure[]
  quick: boolean
  jsonPath: string
  profileFolder: string | null
  env: Record<string, string>
  writeDocs: boolean
}

function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      json: { type: 'string' },
      'cpu-prof': { type: 'string' },
      env: { type: 'string', multiple: true, default: [] },
      'write-docs': { type: 'boolean', default: false },
    },
  })
  const names = values.only?.split(',') ?? FIGURES.map(({ name }) => name)
  const figures = names.map((name) => {
    const figure = FIGURES.find((one) => one.name === name)
    if (figure === undefined) throw new TypeError(`there is no figure ${name}`)
    return figure
  })
  const time = new Date().toISOString().replaceAll(':', '-').slice(0, 19)
  return {
    figures,
    quick: values.quick,
    jsonPath: resolve(values.json ?? join(ROOT, 'bench/results', `${time}.json`)),
    profileFolder: values['cpu-prof'] === undefined ? null : resolve(values['cpu-prof']),
    env: Object.fromEntries(values.env.map(readAssignment)),
    writeDocs: values['write-docs'],
  }
}

function readAssignment(text: string): [name: string, value: string] {
  const at = text.indexOf('=')
  if (at < 1) throw new TypeError(`--env takes name=value, not ${text}`)
  return [text.slice(0, at), text.slice(at + 1)]
}

async function run(options: Options, args: readonly string[]): Promise<Report> {
  say('preparing the database')
  await using bed = await prepareBed()
  const report: Report = {
    date: new Date().toISOString(),
    command: ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
    seconds: 0,
    quick: options.quick,
    machine: await describeMachine(bed),
    figures: [],
    failed: [],
  }
  for (const figure of options.figures) {
    try {
      report.figures.push({ name: figure.name, rows: await takeFigure(bed, figure, options) })
    } catch (error) {
      if (stopping.signal.aborted) throw stopping.signal.reason
      report.failed.push({ name: figure.name, error: String(error) })
      say(`${figure.name} failed: ${(error as Error).stack ?? String(error)}`)
    }
  }
  report.seconds = (performance.now() - startedAt) / 1_000
  return report
}

/** Aborted by a signal or when time is up: the figure under way ends, and everything that was started is put away. */
const stopping = new AbortController()

async function takeFigure(bed: Bed, figure: Figure, options: Options): Promise<Row[]> {
  const stopped = Promise.withResolvers<never>()
  const onAbort = (): void => stopped.reject(stopping.signal.reason as Error)
  if (stopping.signal.aborted) throw stopping.signal.reason
  stopping.signal.addEventListener('abort', onAbort)
  say(figure.title)
  await using stage = new Stage({
    bed,
    quick: options.quick,
    profileFolder: options.profileFolder,
    env: options.env,
    say: (message) => say(`  ${message}`),
  })
  const rows = await Promise.race([figure.measure(stage), stopped.promise])
  stopping.signal.removeEventListener('abort', onAbort)
  for (const line of tableOf(rows).split('\n').slice(2)) say(`  ${line}`)
  return rows
}

async function writeResults(report: Report, options: Options): Promise<void> {
  await mkdir(dirname(options.jsonPath), { recursive: true })
  await writeFile(options.jsonPath, `${JSON.stringify(report, null, 2)}\n`)
  if (!options.writeDocs) return
  if (report.failed.length > 0) {
    say('docs/performance.md is left as it was: some figures are missing')
    return
  }
  const text = `${documentOf(report, options.figures)}\n${await readFile(PROFILE, 'utf8')}`
  await writeFile(
    DOCUMENT,
    await format(text, { ...(await resolveConfig(DOCUMENT)), parser: 'markdown', proseWrap: 'preserve' }),
  )
}

async function main(args: string[]): Promise<number> {
  let options: Options
  try {
    options = readOptions(args)
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`)
    return EXIT_USAGE
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => stopping.abort(new Error(`stopped by ${signal}`)))
  }
  const timer = setTimeout(
    () => stopping.abort(new Error(`not done within ${TIMEOUT_MS / 60_000} minutes`)),
    TIMEOUT_MS,
  )
  try {
    const report = await run(options, args)
    await writeResults(report, options)
    console.log(tableOf(report.figures.flatMap(({ rows }) => rows)))
    say(`written to ${options.jsonPath}`)
    const missed = options.quick ? [] : missedGates(report.figures.flatMap(({ rows }) => rows))
    for (const { name } of missed) say(`the gate is not met: ${name}`)
    return report.failed.length === 0 && missed.length === 0 ? 0 : EXIT_FAILED
  } catch (error) {
    console.error((error as Error).stack)
    return EXIT_FAILED
  } finally {
    clearTimeout(timer)
  }
}

process.exit(await main(process.argv.slice(2)))
