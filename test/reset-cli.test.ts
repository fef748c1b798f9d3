import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import pg from 'pg'
import t, { type Test } from 'tap'
import { createTestDatabase } from '#test/support/database.ts'
import { serve, temporaryFolder } from '#test/support/serve.ts'
import { CHILD_ENV } from '#test/support/child-env.ts'

const CLI = resolve(import.meta.dirname, '../src/reset-cli.ts')

interface Result {
  exitCode: number | null
  stdout: string
  stderr: string
}

async function reset(cwd: string, env: Record<string, string>, ...args: string[]): Promise<Result> {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd,
    env: { ...CHILD_ENV, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (part: string) => (stdout += part))
  child.stderr.setEncoding('utf8').on('data', (part: string) => (stderr += part))
  const [exitCode] = (await once(child, 'close')) as [number | null]
  return { exitCode, stdout, stderr }
}

/** Counts the plugins of the open service at this address. */
async function pluginsAt(url: string): Promise<number> {
  const { data } = (await (await fetch(`${url}/api/plugins`)).json()) as { data: unknown[] }
  return data.length
}

async function register(t: Test, url: string): Promise<void> {
  const response = await fetch(`${url}/api/plugins`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'Shelf', webhook_url: 'http://127.0.0.1:9/', events: [] }),
  })
  t.equal(response.status, 201)
}

t.test('the embedded database over a life, and after it', async (t) => {
  const folder = await temporaryFolder(t)
  const dataDir = join(folder, 'data')
  const env = { DATA_DIR: dataDir }

  const none = await reset(folder, env, '--yes')
  t.match(none, { exitCode: 0, stdout: /no embedded database in .*data\/postgres: nothing to remove/ })

  const server = await serve(t, env, folder)
  await register(t, await server.url())
  const running = await reset(folder, env, '--yes')
  t.match(running, { exitCode: 1, stdout: '', stderr: /in use: stop the service.*Nothing was removed/ })
  t.equal(await pluginsAt(await server.url()), 1, 'the service goes on')

  server.process.kill('SIGTERM')
  await server.exit
  const key = await readFile(join(dataDir, 'master.key'), 'utf8')
  const unasked = await reset(folder, env)
  t.match(unasked, { exitCode: 2, stdout: '', stderr: /Nothing was removed; to do it, say --yes/ })
  t.match(unasked.stderr, 'npm run reset -- [--yes]')
  t.ok((await readdir(dataDir)).includes('postgres'))

  const done = await reset(folder, env, '--yes')
  t.match(done, { exitCode: 0, stdout: /^Removed .*data\/postgres\./, stderr: '' })
  t.same(await readdir(dataDir), ['master.key'])

  const again = await serve(t, env, folder)
  t.equal(await pluginsAt(await again.url()), 0, 'it starts over')
  t.equal(await readFile(join(dataDir, 'master.key'), 'utf8'), key)

  t.comment('a killed service leaves its server')
  again.process.kill('SIGKILL')
  await again.exit
  t.match(await reset(folder, env, '--yes'), { exitCode: 0, stdout: /^Removed/ })
  t.same(await readdir(dataDir), ['master.key'])
})

t.test('another folder called postgres is left alone', async (t) => {
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'postgres'))
  await writeFile(join(folder, 'postgres', 'PG_VERSION'), '18\n')
  const refused = await reset(folder, { DATA_DIR: folder }, '--yes')
  t.match(refused, { exitCode: 1, stdout: '', stderr: /not an embedded database of this service/ })
  t.same(await readdir(join(folder, 'postgres')), ['PG_VERSION'])
})

/** util-linux has a terminal for it; elsewhere `script` takes other arguments. */
const noTerminal = process.platform === 'linux' && existsSync('/usr/bin/script') ? false : 'needs script'

t.test(
  'somebody at a terminal is asked, and only a yes removes anything',
  { skip: noTerminal },
  async (t) => {
    const folder = await temporaryFolder(t)
    const postgres = join(folder, 'postgres')
    await mkdir(postgres)
    for (const name of ['PG_VERSION', 'superuser_password']) await writeFile(join(postgres, name), 'x\n')
    for (const [answer, exitCode, says] of [
      ['no', 1, /Nothing was removed\./],
      ['', 1, /Nothing was removed\./],
      ['yes', 0, /Removed .*postgres\./],
    ] as const) {
      const command = `'${process.execPath}' '${CLI}'`
      const child = spawn('/usr/bin/script', ['--quiet', '--return', '--command', command, '/dev/null'], {
        cwd: folder,
        env: { ...CHILD_ENV, DATA_DIR: folder },
      })
      let screen = ''
      const closed = once(child, 'close')
      child.stdout.setEncoding('utf8').on('data', (part: string) => {
        const asked = screen.includes('[y/N]')
        screen += part
        if (!asked && screen.includes('[y/N]')) child.stdin.write(`${answer}\n`)
      })
      t.equal((await closed)[0], exitCode, screen)
      t.match(screen, says)
      t.equal(existsSync(postgres), exitCode !== 0)
    }
  },
)

t.test('a database of DATABASE_URL is touched by its flag only', async (t) => {
  const folder = await temporaryFolder(t)
  const { url } = await createTestDatabase(t)
  // A stranger to the service, whose own connections would be in the way.
  const stranger = new pg.Client({ connectionString: url })
  await stranger.connect()
  t.teardown(() => stranger.end())
  const tables = async (): Promise<number> => {
    const { rows } = await stranger.query<{ tables: number }>(
      "select count(*)::int as tables from pg_tables where schemaname in ('public', 'migrations')",
    )
    return rows[0]?.tables ?? 0
  }
  const before = await tables()
  const { password } = new URL(url)

  const plain = await reset(folder, { DATABASE_URL: url }, '--yes')
  t.match(plain, { exitCode: 1, stdout: '', stderr: /not touched unless you say --database-url/ })
  if (password !== '') t.notMatch(plain.stderr, password)
  const unasked = await reset(folder, { DATABASE_URL: url }, '--database-url')
  t.match(unasked, { exitCode: 2, stderr: /schemas public and migrations.*say --yes/ })
  t.match(await reset(folder, {}, '--yes', '--database-url'), {
    exitCode: 2,
    stderr: /DATABASE_URL is not set/,
  })

  const server = await serve(t, { DATABASE_URL: url }, folder)
  await server.url()
  const used = await reset(folder, { DATABASE_URL: url }, '--yes', '--database-url')
  t.match(used, { exitCode: 1, stderr: /in use: stop the service/ })
  t.equal(await tables(), before)
  server.process.kill('SIGTERM')
  await server.exit

  const done = await reset(folder, { DATABASE_URL: url }, '--yes', '--database-url')
  t.match(done, { exitCode: 0, stdout: /^Emptied the database/, stderr: '' })
  t.equal(await tables(), 0)
  const twice = await reset(folder, { DATABASE_URL: url }, '--yes', '--database-url')
  t.match(twice, { exitCode: 1, stderr: /has no tables of this service/ })

  const again = await serve(t, { DATABASE_URL: url }, folder)
  t.equal(await pluginsAt(await again.url()), 0)
  t.equal(await tables(), before)
})

t.test('what cannot be read says how it is used', async (t) => {
  const folder = await temporaryFolder(t)
  t.match(await reset(folder, {}, '--now'), { exitCode: 2, stderr: /--now[\s\S]*Usage: npm run reset/ })
  t.match(await reset(folder, {}, '--help'), { exitCode: 0, stdout: /^Usage: npm run reset/ })
})
