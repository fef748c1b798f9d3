import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import { migratedPrivatePostgres, until } from '#test/infra/app-on.ts'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { serve, temporaryFolder } from '#test/support/serve.ts'

const MASTER_KEY = Buffer.alloc(32, 7).toString('base64')

t.test('told to stop while it waits for its database, it stops', async (t) => {
  const postgres = await migratedPrivatePostgres(t)
  await postgres.stop()
  const server = await serve(t, { DATABASE_URL: postgres.url, MASTER_KEY, PLATFORM_KEY: TEST_PLATFORM_KEY })
  await server.line(/does not answer yet/)
  server.process.kill('SIGTERM')
  t.strictSame(await server.exit, { code: 0, signal: null })
})

t.test('told to stop while its database is away, it stops', async (t) => {
  const postgres = await migratedPrivatePostgres(t)
  const server = await serve(t, { DATABASE_URL: postgres.url, MASTER_KEY, PLATFORM_KEY: TEST_PLATFORM_KEY })
  await server.url()
  await postgres.stop('immediate')
  server.process.kill('SIGTERM')
  t.strictSame(await server.exit, { code: 0, signal: null }, 'in time: otherwise it ends itself with 1')
})

t.test('told to stop, it finishes what is in flight and takes nothing new', async (t) => {
  const { url } = await createTestDatabase(t)
  const receiver = await startReceiver(t)
  receiver.answer((_received, response) => {
    setTimeout(() => response.writeHead(204).end(), 2_000)
  })
  const server = await serve(t, {
    DATABASE_URL: url,
    MASTER_KEY,
    PLATFORM_KEY: TEST_PLATFORM_KEY,
    EGRESS_ALLOW: '127.0.0.1',
  })
  const address = await server.url()
  const headers = {
    authorization: `Bearer ${TEST_PLATFORM_KEY}`,
    'x-tenant-id': newId(),
    'content-type': 'application/json',
  }
  const created = await fetch(`${address}/api/plugins`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ name: 'Slow', slug: 'slow', webhook_url: receiver.url, events: ['*'] }),
  })
  t.equal(created.status, 201)
  const inFlight = fetch(`${address}/api/plugins/slow/test`, {
    method: 'POST',
    headers: { ...headers },
    body: '{}',
  })
  await receiver.waitFor(1)
  server.process.kill('SIGTERM')
  await server.line(/^closing/)
  await until(
    () => isRefused(Number(new URL(address).port)),
    (refused) => refused,
  )
  const answer = await inFlight
  t.equal(answer.status, 200)
  t.match(await answer.json(), { delivered: true })
  t.strictSame(await server.exit, { code: 0, signal: null })
})

t.test('a caller that never finishes does not hold up the end', async (t) => {
  const { url } = await createTestDatabase(t)
  const server = await serve(t, { DATABASE_URL: url, MASTER_KEY, PLATFORM_KEY: TEST_PLATFORM_KEY })
  const { port } = new URL(await server.url())
  const socket = connect(Number(port), '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write('POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{')
  server.process.kill('SIGTERM')
  t.strictSame(await server.exit, { code: 0, signal: null }, 'in time: otherwise it ends itself with 1')
})

t.test('an error that nobody handled is logged, and ends the process in an orderly way', async (t) => {
  const { url } = await createTestDatabase(t)
  const directory = await temporaryFolder(t)
  const bomb = join(directory, 'bomb.mjs')
  await writeFile(bomb, `process.once('SIGUSR1', () => { void Promise.reject(new Error('a bug')) })\n`)
  const server = await serve(
    t,
    {
      DATABASE_URL: url,
      MASTER_KEY,
      PLATFORM_KEY: TEST_PLATFORM_KEY,
      NODE_OPTIONS: `--import=${bomb}`,
    },
    directory,
  )
  await server.url()
  server.process.kill('SIGUSR1')
  t.strictSame(await server.exit, { code: 1, signal: null })
  t.match(await server.line(/nobody handled/), { level: 'fatal', err: { message: 'a bug' } })
  t.ok(server.log().some(({ msg }) => msg === 'closed'))
})

/** Tells whether nobody listens on a port any more. */
async function isRefused(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return false
  } catch {
    return true
  } finally {
    socket.destroy()
  }
}
