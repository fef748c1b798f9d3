import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { loadConfig } from '#config/config.ts'
import { openDatabase } from '#config/database.ts'
import { isUnavailable } from '#db/errors.ts'
import { migrate } from '#db/migrate.ts'
import { startEmbeddedPostgres } from '#tools/embedded-postgres/index.ts'

const REPOSITORY = resolve(import.meta.dirname, '../../..')
const NOBODY = 65_534
const asRoot = process.geteuid?.() === 0 ? false : 'needs root'
const log = { info: () => undefined }

t.test('one server over its life', async (t) => {
  const dataDir = await makeDataDir(t)
  const dead = spawn(process.execPath, ['--version'])
  await once(dead, 'exit')
  await mkdir(join(dataDir, `postgres.init-${String(dead.pid)}-0badcafe`, 'data'), { recursive: true })
  process.env['MASTER_KEY'] = 'canary'
  const began = performance.now()
  const postgres = await startEmbeddedPostgres({ dataDir, log })
  t.comment(`first start: ${Math.round(performance.now() - began)} ms`)

  t.test('the first start makes the cluster and clears what a dead process had half made', async (t) => {
    t.notOk(postgres.adopted)
    t.same(await readdir(dataDir), ['postgres'])
    await query(postgres.url, 'create table kept (n int); insert into kept values (1)')
  })

  t.test('strangers on the same machine stay outside', async (t) => {
    t.equal((await stat(join(dataDir, 'postgres', 'superuser_password'))).mode & 0o777, 0o600)
    const guess = new URL(postgres.url)
    guess.password = 'guessed'
    t.match(await failure(query(guess.href, 'select 1')), { code: '28P01' })
    t.same(
      await query(
        postgres.url,
        `select name, setting from pg_settings
         where name in ('fsync', 'listen_addresses', 'unix_socket_directories') order by name`,
      ),
      [
        { name: 'fsync', setting: 'on' },
        { name: 'listen_addresses', setting: '127.0.0.1' },
        { name: 'unix_socket_directories', setting: '' },
      ],
    )
  })

  t.test('the secrets of the service are not in the environment of the server', async (t) => {
    const pid = await postmasterPid(dataDir)
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => 'PATH: no /proc here')
    t.match(environment, 'PATH')
    t.notMatch(environment, 'canary')
  })

  t.test('a process that loses its session is present again', async (t) => {
    const presences = `select pid from pg_stat_activity where application_name = 'bcs-presence' and state = 'idle'`
    const [before] = await query(postgres.url, presences)
    await query(postgres.url, `select pg_terminate_backend(${String(before?.['pid'])}, 5000)`)
    let now: Record<string, unknown> | undefined
    while (!now) [now] = await query(postgres.url, presences)
    t.not(now['pid'], before?.['pid'])
  })

  t.test('the last user stops it, and the next start finds the data', async (t) => {
    await postgres.stop()
    await postgres.stop()
    t.ok(isUnavailable(await failure(query(postgres.url, 'select 1'))), 'it is stopped')
    const again = performance.now()
    const second = await startEmbeddedPostgres({ dataDir, log })
    t.comment(`second start: ${Math.round(performance.now() - again)} ms`)
    t.same(await query(second.url, 'select n from kept'), [{ n: 1 }])
    await second.stop()
  })
})

t.test(
  'the service has an account of its own, and what an earlier version made as the superuser',
  async (t) => {
    const dataDir = await makeDataDir(t)
    const earlier = await startEmbeddedPostgres({ dataDir, log })
    await migrate(earlier.url, { log })
    await query(earlier.url, `insert into tenants (id) values ('018f0000-0000-7000-8000-000000000001')`)
    const config = loadConfig({ DATA_DIR: dataDir, LOG_LEVEL: 'silent' }, null)
    // The earlier version may still be at work.
    const [database, other] = await Promise.all([
      openDatabase(config, pino({ level: 'silent' })),
      openDatabase(config, pino({ level: 'silent' })),
    ])
    t.equal(other.url, database.url)
    t.same(
      await query(
        database.url,
        `select rolname, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls
       from pg_roles where rolname = current_user`,
      ),
      [
        {
          rolname: 'bettercallsold',
          rolsuper: false,
          rolcreatedb: false,
          rolcreaterole: false,
          rolreplication: false,
          rolbypassrls: false,
        },
      ],
    )
    const foreign = `select relname as name from pg_class where relowner <> current_user::regrole
      and relnamespace in (select oid from pg_namespace where nspname in ('public', 'migrations'))
    union all select proname from pg_proc where proowner <> current_user::regrole
      and pronamespace in ('public'::regnamespace, 'migrations'::regnamespace)
    union all select nspname from pg_namespace where nspname = 'migrations' and nspowner <> current_user::regrole`
    t.same(await query(database.url, foreign), [], 'all of it is its own')
    t.same(await query(database.url, 'select count(*)::int as count from tenants'), [{ count: 1 }])
    t.same((await migrate(database.url, { log })).applied, [])
    for (const [what, statement] of Object.entries({
      'files of the server': `select pg_read_file('superuser_password')`,
      'programs of the machine': `copy (select 1) to program 'cat'`,
      'passwords of accounts': 'select rolpassword from pg_authid',
      'settings of the server': `alter system set fsync = 'off'`,
      'other accounts': 'create role another superuser',
    })) {
      t.match(await failure(query(database.url, statement)), { code: '42501' }, what)
    }
    for (const each of [database, other, earlier]) await each.stop()

    const next = await openDatabase(config, pino({ level: 'silent' }))
    t.equal(new URL(next.url).password, new URL(database.url).password)
    await next.stop()
  },
)

t.test('an empty folder is migrated by the service’s own account', async (t) => {
  const config = loadConfig({ DATA_DIR: await makeDataDir(t), LOG_LEVEL: 'silent' }, null)
  const database = await openDatabase(config, pino({ level: 'silent' }))
  t.same(
    await query(database.url, `select tableowner from pg_tables where schemaname = 'public' group by 1`),
    [{ tableowner: 'bettercallsold' }],
  )
  await database.stop()
})

t.test('a server that a killed process left is adopted', async (t) => {
  const dataDir = await makeDataDir(t)
  const killed = await startProcess(t, dataDir)
  t.notOk(killed.adopted)
  killed.child.kill('SIGKILL')
  await once(killed.child, 'exit')
  const heir = await startEmbeddedPostgres({ dataDir, log })
  t.ok(heir.adopted)
  t.equal(heir.url, killed.url)
  t.same(await query(heir.url, 'select 1 as alive'), [{ alive: 1 }])
  await heir.stop()
  t.ok(isUnavailable(await failure(query(heir.url, 'select 1'))), 'the heir was the last and stopped it')
})

t.test(
  'of processes that start at once on an empty folder one starts the server and the last one stops it',
  async (t) => {
    const dataDir = await makeDataDir(t)
    const users = await Promise.all([
      startProcess(t, dataDir),
      startProcess(t, dataDir),
      startProcess(t, dataDir),
    ])
    t.equal(new Set(users.map(({ url }) => url)).size, 1, 'all use the same server')
    t.equal(users.filter(({ adopted }) => !adopted).length, 1, 'one of them started it')
    t.same(await readdir(dataDir), ['postgres'], 'what the slower ones had begun is gone')
    const [first, ...others] = users
    await first.leave()
    t.same(await query(first.url, 'select 1 as alive'), [{ alive: 1 }], 'the others still use it')
    await Promise.all(others.map((user) => user.leave()))
    t.ok(isUnavailable(await failure(query(first.url, 'select 1'))), 'nobody is left')
  },
)

t.test(
  'a server that was killed recovers what was committed, whoever has its process number now',
  async (t) => {
    const dataDir = await makeDataDir(t)
    const crashed = await startEmbeddedPostgres({ dataDir, log })
    await query(crashed.url, 'create table kept (n int); insert into kept values (1)')
    process.kill(await postmasterPid(dataDir), 'SIGQUIT')
    while (!isUnavailable(await failure(query(crashed.url, 'select 1')))) continue
    await crashed.stop()
    const pidFile = join(dataDir, 'postgres', 'postmaster.pid')
    await writeFile(pidFile, `${process.pid}\n${join(dataDir, 'postgres')}\n0\n1\n\n127.0.0.1\n0\nready\n`)
    const recovered = await startEmbeddedPostgres({ dataDir, log })
    t.notOk(recovered.adopted)
    t.same(await query(recovered.url, 'select n from kept'), [{ n: 1 }])
    await recovered.stop()
  },
)

t.test('an ordinary user runs the server as itself', { skip: asRoot }, async (t) => {
  const dataDir = await makeDataDir(t)
  await chown(dataDir, NOBODY, NOBODY)
  const user = await startProcess(t, dataDir, { uid: NOBODY, gid: NOBODY })
  t.equal((await stat(join(dataDir, 'postgres'))).uid, NOBODY)
  t.same(await query(user.url, 'select 1 as alive'), [{ alive: 1 }])

  const root = await startEmbeddedPostgres({ dataDir, log })
  t.ok(root.adopted, 'root joins it')
  await root.stop()
  await user.leave()
})

t.test(
  'root keeps checkout and data below a folder that is closed to everybody else',
  { skip: asRoot },
  async (t) => {
    const closed = await mkdtemp('/root/bettercallsold-test-')
    t.teardown(() => rm(closed, { recursive: true }))
    await chmod(closed, 0o700)
    await copyCheckout(closed)
    const dataDir = join(closed, '.data')
    const user = await startProcess(t, dataDir, { checkout: closed })
    t.same(await query(user.url, `select setting from pg_settings where name = 'data_directory'`), [
      { setting: join(dataDir, 'postgres') },
    ])
    t.not((await stat(join(dataDir, 'postgres'))).uid, 0, 'the server does not run as root')
    await user.leave()
  },
)

interface User {
  readonly child: ChildProcessWithoutNullStreams
  readonly url: string
  readonly adopted: boolean
  leave(): Promise<void>
}

async function startProcess(
  t: Test,
  dataDir: string,
  { checkout = REPOSITORY, ...ids }: { checkout?: string; uid?: number; gid?: number } = {},
): Promise<User> {
  const child = spawn(
    process.execPath,
    [join(checkout, 'test/tools/embedded-postgres/embedded-process.ts'), dataDir],
    {
      ...ids,
      cwd: checkout,
      env: { PATH: process.env['PATH'] },
    },
  )
  t.teardown(() => child.kill('SIGKILL'))
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const lines = createInterface(child.stdout)
  const [line] = (await Promise.race([once(lines, 'line'), once(lines, 'close')])) as [string?]
  if (line === undefined) throw new Error(`the process ended before it had a server:\n${errors}`)
  const { url, adopted } = JSON.parse(line) as { url: string; adopted: boolean }
  const leave = async (): Promise<void> => {
    const exited = once(child, 'exit')
    child.stdin.write('leave\n')
    const [code] = (await exited) as [number | null]
    if (code !== 0) throw new Error(`leaving failed with ${String(code)}:\n${errors}`)
  }
  return { child, url, adopted, leave }
}

/**
 * Copies the files that embedded-process.ts needs; the Postgres programs are real copies, so they lie in the closed
 * folder too.
 */
async function copyCheckout(target: string): Promise<void> {
  const modules = join(REPOSITORY, 'node_modules')
  for (const path of ['package.json', 'db', 'tools', 'test/tools/embedded-postgres/embedded-process.ts']) {
    await cp(join(REPOSITORY, path), join(target, path), { recursive: true })
  }
  for (const name of ['embedded-postgres', '@embedded-postgres']) {
    await cp(join(modules, name), join(target, 'node_modules', name), {
      recursive: true,
      verbatimSymlinks: true,
    })
  }
  await symlink(join(modules, 'pg'), join(target, 'node_modules/pg'))
}

async function makeDataDir(t: Test): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'bettercallsold-embedded-'))
  await chmod(dataDir, 0o755)
  t.teardown(() => rm(dataDir, { recursive: true }))
  return dataDir
}

async function postmasterPid(dataDir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8'), 10)
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}
