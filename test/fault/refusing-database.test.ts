import { execFile } from 'node:child_process'
import { chown, mkdtemp, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import t, { type Test } from 'tap'
import { eventually } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { startPrivatePostgres } from '#test/support/postgres-server.ts'
import { isReady, type ServiceProcess, startService } from '#test/support/service-process.ts'

const execute = promisify(execFile)
const DISK_BYTES = 64 * 1024 * 1024
/** What became of them takes more than the pages of a table that are there. */
const DELIVERIES = 1_000

interface Answer {
  status: number
  retryAfter: string | null
  code?: string
}

async function connect(t: Test, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  t.teardown(() => client.end())
  return client
}

function client(service: ServiceProcess) {
  const tenantId = crypto.randomUUID()
  let number = 0
  const ask = async (method: string, path: string, body?: unknown): Promise<Answer> => {
    const response = await service.request(method, path, { tenantId, ...(body !== undefined && { body }) })
    const { code } = (await response.json()) as { code?: string }
    return { status: response.status, retryAfter: response.headers.get('retry-after'), ...(code && { code }) }
  }
  return {
    send: (bytes: number) =>
      ask('POST', '/api/events', {
        id: `order-${number++}`,
        event: 'order.created',
        data: { filler: crypto.getRandomValues(Buffer.alloc(bytes)).toString('base64') },
      }),
    read: () => ask('GET', '/api/events?limit=1'),
    register: () => ask('POST', '/api/plugins', { name: `p${number++}`, webhook_url: 'http://127.0.0.1:1' }),
  }
}

async function mount(directory: string): Promise<void> {
  await execute('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', directory])
}

/** Tells whether this account may mount a file system. */
async function mayMount(): Promise<boolean> {
  const directory = await mkdtemp(join(tmpdir(), 'bettercallsold-disk-'))
  try {
    await mount(directory)
    await execute('umount', [directory])
    return true
  } catch {
    return false
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** A file system of a few megabytes. */
async function smallDisk(t: Test, owner: number): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'bettercallsold-disk-'))
  await mount(directory)
  t.teardown(async () => {
    await execute('umount', ['-l', directory])
    await rm(directory, { recursive: true })
  })
  await chown(directory, owner, owner)
  return directory
}

/** A database of a server that has room elsewhere, but not for this one's tables. */
async function databaseOnSmallDisk(t: Test) {
  const postgres = await startPrivatePostgres(t)
  const admin = await connect(t, postgres.url)
  const { rows } = await admin.query<{ data_directory: string }>('show data_directory')
  const disk = await smallDisk(t, (await stat(rows[0]?.data_directory ?? '')).uid)
  await admin.query(`create tablespace small location '${disk}'`)
  await admin.query('create database shops tablespace small')
  const url = new URL(postgres.url)
  url.pathname = '/shops'
  const ballast = join(disk, 'ballast')
  return {
    databaseUrl: url.href,
    fill: async () => {
      const { bavail, bsize } = await statfs(disk)
      await writeFile(ballast, Buffer.alloc(bavail * bsize))
    },
    free: () => rm(ballast),
  }
}

const skip = (await mayMount()) ? false : 'a tmpfs cannot be mounted here'

t.test('a full disk is a 503 and not ready until there is space again', { skip }, async (t) => {
  const { databaseUrl, fill, free } = await databaseOnSmallDisk(t)
  const service = await startService(t, { databaseUrl })
  const { send, read } = client(service)
  t.equal((await send(10)).status, 202)
  await fill()
  const seen: Answer[] = []
  await eventually('an event does not fit', async () => {
    const answer = await send(30_000)
    seen.push(answer)
    return answer.status !== 202
  })
  for (let n = 0; n < 20; n++) seen.push(await send(30_000))
  t.strictSame(
    seen.filter(({ status }) => status !== 202 && status !== 503),
    [],
    'nobody is told that it is our fault',
  )
  t.match(
    seen.findLast(({ status }) => status === 503),
    { retryAfter: '5', code: 'database_unavailable' },
  )
  await eventually('it is not ready', async () => !(await isReady(service)))
  // One read may be refused where the machine is busy; all are if reading needs space.
  const { status } = await eventually('a read is answered', async () => {
    const answer = await read()
    return answer.status !== 503 && answer
  })
  t.equal(status, 200, 'what needs no space goes on')

  await free()
  await eventually('it is ready again', () => isReady(service))
  t.equal((await send(30_000)).status, 202)
})

t.test('a worker whose disk is full is not ready, says why, and goes on by itself', { skip }, async (t) => {
  const { databaseUrl, fill, free } = await databaseOnSmallDisk(t)
  const api = await startService(t, { databaseUrl, env: { ROLES: 'api' } })
  const worker = await startService(t, { databaseUrl, env: { ROLES: 'worker', LEASE_MS: '2000' } })
  const tenantId = crypto.randomUUID()
  const receiver = await startReceiver(t)
  const held: (() => void)[] = []
  receiver.answer((_received, response) => {
    held.push(() => response.writeHead(204).end())
  })
  const plugin = { name: 'Full', webhook_url: receiver.url, events: ['order.created'], max_in_flight: 4 }
  t.equal((await api.request('POST', '/api/plugins', { tenantId, body: plugin })).status, 201)
  const events = Array.from({ length: DELIVERIES }, (_, number) => ({
    event: 'order.created',
    data: { number, filler: 'x'.repeat(500) },
  }))
  t.equal((await api.request('POST', '/api/events', { tenantId, body: { events } })).status, 202)
  await receiver.waitFor(1)
  t.ok(await isReady(worker))

  await fill()
  receiver.answer(204)
  for (const answer of held) answer()
  const checks = await eventually('the worker is not ready', async () => {
    const response = await worker.request('GET', '/health/ready')
    const answer = (await response.json()) as { checks: { database: { status: string; detail: string } } }
    return response.status === 503 && answer.checks
  })
  t.strictSame(checks.database, { status: 'failed', detail: 'It takes no writes.' })
  t.ok(
    await eventually('its log has the reason of Postgres', () =>
      worker.log.some((line) => line.includes('refuses a write') && line.includes('No space left on device')),
    ),
  )

  await free()
  await eventually('it is ready again', () => isReady(worker))
  const shops = await connect(t, databaseUrl)
  await eventually('everything is delivered', async () => {
    const { rows } = await shops.query<{ sent: number }>(
      `select count(*)::int as sent from deliveries where tenant_id = $1 and status = 'sent'`,
      [tenantId],
    )
    return rows[0]?.sent === DELIVERIES
  })
  t.ok(await isReady(worker))
  t.equal((await worker.request('GET', '/health/live')).status, 200, 'the process is the same')
})

t.test('a server that only reads is a 503 and not ready', async (t) => {
  const postgres = await startPrivatePostgres(t)
  const service = await startService(t, { databaseUrl: postgres.url })
  const { send, read, register } = client(service)
  t.equal((await send(10)).status, 202)
  const admin = await connect(t, postgres.url)
  const onlyReads = async (value: 'on' | 'off'): Promise<void> => {
    await admin.query('set transaction_read_only = off')
    await admin.query(`alter system set default_transaction_read_only = ${value}`)
    await admin.query('select pg_reload_conf()')
  }
  await onlyReads('on')
  await eventually('it is not ready', async () => !(await isReady(service)))
  for (const answer of [await send(10), await register()]) {
    t.match(answer, { status: 503, retryAfter: '5', code: 'database_unavailable' })
  }
  t.equal((await read()).status, 200)
  await onlyReads('off')
  await eventually('it is ready again', () => isReady(service))
  t.equal((await send(10)).status, 202)
})
