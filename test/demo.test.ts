import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { CHILD_ENV } from '#test/support/child-env.ts'

const DEMO = resolve(import.meta.dirname, '../examples/demo/demo.ts')

interface Show {
  /** All that it has written so far. */
  text(): string
  written(pattern: RegExp): Promise<void>
  kill(signal: NodeJS.Signals): void
  ended: Promise<number | null>
  /** Lists the files in its directory for temporary files. */
  leftovers(): Promise<string[]>
}

async function startDemo(t: Test, args: readonly string[] = []): Promise<Show> {
  const directory = await mkdtemp(join(tmpdir(), 'bcs-demo-test-'))
  const child = spawn(process.execPath, [DEMO, ...args], {
    env: { ...CHILD_ENV, TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  const closed = once(child, 'close')
  const ended = closed.then(([code]) => code as number | null)
  const waiting = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      for (const look of waiting) look()
    })
  }
  t.teardown(async () => {
    child.kill('SIGTERM')
    await closed
    await rm(directory, { recursive: true, force: true })
  })
  return {
    text: () => text,
    written: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (pattern.test(text)) resolve()
        }
        waiting.add(look)
        look()
        void ended.then(() => reject(new Error(`it ended without ${pattern}:\n${text}`)))
      }),
    kill: (signal) => void child.kill(signal),
    ended,
    leftovers: () => readdir(directory),
  }
}

t.test('the demo shows three plugins, finds its own claims to hold, and leaves nothing behind', async (t) => {
  const show = await startDemo(t)
  t.equal(await show.ended, 0, show.text())

  const rows = new Map(
    show
      .text()
      .split('\n')
      .map((line) => line.split(/ {2,}/))
      .filter((cells) => cells.length === 11)
      .map(([plugin = '', _endpoint, ...figures]) => [plugin, figures]),
  )
  const counts = (plugin: string): number[] => (rows.get(plugin) ?? []).slice(0, 6).map(Number)
  const [events = 0] = counts('mailer')
  t.ok(events > 329)
  t.strictSame(counts('mailer'), [events, events, 0, 0, 0, events])
  t.match(rows.get('mailer')?.slice(6), [/^\d+$/, /^\d+$/, `${events}/${events}`])
  const [crmEvents = 0] = counts('crm')
  t.strictSame(counts('crm'), [crmEvents, crmEvents, 0, 0, 0, crmEvents + 2], 'it failed twice')
  const [deadEvents = 0, sent, retry = 0, pending = 0, failed = 0, attempts = 0] = counts('warehouse')
  t.equal(sent, 0)
  t.equal(retry + pending + failed, deadEvents)
  t.ok(attempts > 0)
  t.match(show.text(), /What went wrong for warehouse:\n.*connect_refused/)
  t.match(show.text(), /mail +to ada@example\.com: Welcome, Ada!/)
  const flow = show.text().slice(show.text().indexOf('A flow: '))
  t.match(
    flow,
    /Eva Lund.*\n {2}in_portugal .*"true"\n {2}welcome .*"success"\n {2}follow_up .*"success"\n {2}completed: done/,
  )
  t.match(flow, /Tom Hill.*\n {2}in_portugal .*"false"\n {2}completed: filtered/)
  t.match(flow, /mail +to eva@example\.com: Welcome, Eva Lund!/)
  t.match(flow, /task +Call Eva Lund, due \d{4}-/)
  t.equal(show.text().match(/^ok /gm)?.length, 16)
  t.notMatch(show.text(), /^FALSE/m)
  t.strictSame(await show.leftovers(), [])
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  t.test(`${signal} ends the demo at once, and nothing is left behind`, async (t) => {
    const show = await startDemo(t)
    await show.written(/Posting/)
    show.kill(signal)
    t.equal(await show.ended, 130, show.text())
    t.match(show.text(), /interrupted/)
    t.strictSame(await show.leftovers(), [])
  })
}

t.test('with --stay it goes on, with its data and the console, until it is interrupted', async (t) => {
  const show = await startDemo(t, ['--stay'])
  await show.written(/Ctrl-C ends it/)
  t.notMatch(show.text(), /^FALSE/m)
  const [, page = ''] = /Look at it: (\S+)/.exec(show.text()) ?? []
  const answer = await fetch(page, { headers: { accept: 'text/html' } })
  t.match(answer.headers.get('content-security-policy'), /default-src 'none'/)
  const deliveries = await fetch(new URL('/api/plugins/events?plugin=mailer', page))
  t.equal(deliveries.status, 200)
  t.not(((await deliveries.json()) as { data: unknown[] }).data.length, 0)
  show.kill('SIGINT')
  t.equal(await show.ended, 0, show.text())
  t.strictSame(await show.leftovers(), [])
})
