import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import type { Test } from 'tap'
import { freePort } from './free-port.ts'
import {
  EMBEDDED_SETTINGS,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from '#tools/embedded-postgres/index.ts'
import { isAlive } from '#tools/embedded-postgres/alive.ts'
import { openCluster } from '#tools/embedded-postgres/cluster.ts'
import {
  connectionUrl,
  startPostmaster,
  stopPostmaster,
  type StopMode,
} from '#tools/embedded-postgres/postmaster.ts'

/** Tests may lose everything when the machine crashes, and half a second when the server that they share does. */
const TEST_SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  shared_buffers: '128MB',
}
export const PRIVATE_PREFIX = 'bettercallsold-private-'
/**
 * The settings of a server that a test starts for itself: it is killed, and must not forget what it has committed.
 */
export const PRIVATE_SERVER_SETTINGS = { ...EMBEDDED_SETTINGS, ...TEST_SETTINGS, synchronous_commit: 'on' }
const USER_ID = process.geteuid?.() ?? 0

/** One data folder for each user and checkout. It stays between the runs, the server does not. */
const DATA_DIR = join(
  tmpdir(),
  `bettercallsold-test-${USER_ID}-${createHash('sha256')
    .update(resolve(import.meta.dirname, '../..'))
    .digest('hex')
    .slice(0, 12)}`,
)

export interface TestServer {
  readonly url: string
  /** True: this process started it, so the databases of processes that are gone can go too. */
  readonly fresh: boolean
}

let server: Promise<TestServer> | undefined

/**
 * The run's Postgres: TEST_DATABASE_URL, or an embedded one that the first test file starts, all share, and
 * test/support/stop-postgres.ts stops after the run.
 */
export function testServer(): Promise<TestServer> {
  return (server ??= startTestServer())
}

async function startTestServer(): Promise<TestServer> {
  const url = process.env['TEST_DATABASE_URL']
  if (url) return { url, fresh: false }
  const postgres = await startShared()
  return { url: postgres.url, fresh: !postgres.adopted }
}

async function makeDataDir(): Promise<void> {
  await mkdir(DATA_DIR, { recursive: true })
  // The temporary folder is everybody's, and the name can be guessed.
  if ((await stat(DATA_DIR)).uid !== USER_ID) throw new Error(`${DATA_DIR} belongs to another user`)
}

async function startShared(): Promise<EmbeddedPostgres> {
  await makeDataDir()
  return startEmbeddedPostgres({ dataDir: DATA_DIR, log: { info: () => undefined }, settings: TEST_SETTINGS })
}

const STOP_ATTEMPTS = 20
const STOP_POLL_MS = 50

/** Stops the shared server unless another run uses it, and removes what killed test processes left. */
export async function stopTestServer(): Promise<void> {
  const pidFile = join(DATA_DIR, 'postgres', 'postmaster.pid')
  // The last test process has just ended; the server needs a moment to notice.
  for (let attempt = 0; attempt < STOP_ATTEMPTS && existsSync(pidFile); attempt++) {
    const postgres = await startShared()
    await postgres.stop()
    await delay(STOP_POLL_MS)
  }
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(PRIVATE_PREFIX)) continue
    const pid = Number(name.slice(PRIVATE_PREFIX.length).split('-')[0])
    // A server whose folder is gone stops by itself within a minute.
    if (!isAlive(pid)) await rm(join(tmpdir(), name), { recursive: true, force: true })
  }
}

export interface PrivatePostgres {
  /** The same over restarts. */
  readonly url: string
  /** `immediate` is a crash: connections break and the next start recovers. */
  stop(mode?: StopMode): Promise<void>
  start(): Promise<void>
  /** Ends every client's session, as a failover or an administrator does. Resolves with their number. */
  terminateBackends(): Promise<number>
}

/** Work that is done once on a cluster, of which every test that wants it gets a copy. */
export interface Model {
  name: string
  /** Of what `prepare` makes; models of other versions are removed. */
  version: string
  prepare: (url: string) => Promise<void>
}

const PLAIN: Model = { name: 'plain', version: '1', prepare: () => Promise.resolve() }

function privateFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), `${PRIVATE_PREFIX}${process.pid}-`))
}

/** Copies a cluster, which takes a tenth of what initdb does. The copies have the same password. */
async function copyModel({ name, version, prepare }: Model, dataDir: string): Promise<void> {
  await makeDataDir()
  const prefix = `model-${name}-`
  const model = join(DATA_DIR, prefix + version)
  if (!existsSync(model)) {
    for (const old of (await readdir(DATA_DIR)).filter((entry) => entry.startsWith(prefix)))
      if (old !== prefix + version) await rm(join(DATA_DIR, old), { recursive: true, force: true })
    const draft = await privateFolder()
    const cluster = await openCluster(draft, false)
    const port = await freePort()
    await startPostmaster(cluster, port, PRIVATE_SERVER_SETTINGS)
    await prepare(connectionUrl(cluster, port)).finally(() => stopPostmaster(cluster, 'fast'))
    // Another process may have been faster: then its model is the one.
    await rename(draft, model).catch(() => rm(draft, { recursive: true }))
  }
  // With its owner, who is not always this user.
  await promisify(execFile)('cp', ['-a', join(model, 'postgres'), dataDir])
}

/** A server of the test's own, for tests that take it away. It runs when this resolves. */
export async function startPrivatePostgres(t: Test, model = PLAIN): Promise<PrivatePostgres> {
  const dataDir = await privateFolder()
  await copyModel(model, dataDir)
  const cluster = await openCluster(dataDir, false)
  const port = await freePort()
  const url = connectionUrl(cluster, port)
  let running = false
  const start = async (): Promise<void> => {
    if (running) return
    await startPostmaster(cluster, port, PRIVATE_SERVER_SETTINGS)
    running = true
  }
  const stop = async (mode: StopMode = 'fast'): Promise<void> => {
    if (!running) return
    await stopPostmaster(cluster, mode)
    running = false
  }
  t.teardown(async () => {
    await stop('immediate')
    await rm(dataDir, { recursive: true, force: true })
  })
  await start()
  return { url, start, stop, terminateBackends: () => terminateBackends(url) }
}

async function terminateBackends(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rowCount } = await client.query(
      `select pg_terminate_backend(pid, 5000) from pg_stat_activity
       where backend_type = 'client backend' and pid <> pg_backend_pid()`,
    )
    return rowCount ?? 0
  } finally {
    await client.end()
  }
}
