import { spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import Fastify from 'fastify'
import t from 'tap'
import edge from '#infra/http/edge.ts'
import loadShedding from '#infra/http/load-shedding.ts'
import problems from '#infra/http/problems.ts'
import { dropBody } from '#infra/http/unread-body.ts'
import { generateApiKey } from '#lib/secrets/api-key.ts'
import { inTime, until } from '#test/infra/app-on.ts'
import type { OpenApiDocument } from '#test/support/openapi.ts'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'

const { app } = await startApp(t)
await app.listen({ port: 0, host: '127.0.0.1' })
const { port } = app.server.address() as AddressInfo
const url = `http://127.0.0.1:${port}/api/events`
const KEY = { authorization: `Bearer ${TEST_PLATFORM_KEY}`, 'x-tenant-id': crypto.randomUUID() }
const JSON_TYPE = { 'content-type': 'application/json' }
const LARGE = Buffer.alloc(8.5 * 1024 * 1024, 'x')
const REFUSALS: [number, Record<string, string>][] = [
  [413, { ...KEY, ...JSON_TYPE }],
  [401, JSON_TYPE],
  [415, { ...KEY, 'content-type': 'text/plain' }],
]

for (const [status, headers] of REFUSALS) {
  t.test(`fetch sees ${status} although it sends 8.5 MB`, async (t) => {
    for (let nth = 0; nth < 6; nth += 1) {
      const response = await fetch(url, { method: 'POST', headers, body: LARGE })
      t.equal(response.status, status)
      t.match(await response.json(), { status })
    }
  })
}

t.test('a raw socket that writes everything before it reads sees 413 and then the end', async (t) => {
  const answer = await new Promise<string>((resolve, reject) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () => {
      const head = Object.entries({ ...KEY, ...JSON_TYPE }).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.write(
        `POST /api/events HTTP/1.1\r\nhost: x\r\n${head.join('')}content-length: ${LARGE.length}\r\n\r\n`,
      )
      socket.write(LARGE)
    })
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.on('error', reject)
    socket.on('close', () => resolve(text))
  })
  t.match(answer, /^HTTP\/1.1 413 /)
  t.match(answer, /connection: close/i)
})

t.test('fetch sees a refusal of a body whose length it does not announce', async (t) => {
  for (const [status, headers] of REFUSALS) {
    const chunk = LARGE.subarray(0, 64 * 1024)
    let left = LARGE.length / chunk.length
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        if (left-- > 0) controller.enqueue(chunk)
        else controller.close()
      },
    })
    const response = await fetch(url, { method: 'POST', headers, body, duplex: 'half' })
    t.equal(response.status, status)
    t.match(await response.json(), { status })
  }
})

t.test('fetch sees 429 when its address has failed too often', async (t) => {
  const { app: guarded } = await startApp(t)
  await guarded.listen({ port: 0, host: '127.0.0.1' })
  for (let failed = 0; failed < 1_000; failed++) await guarded.inject('/api/events')
  const { port: guardedPort } = guarded.server.address() as AddressInfo
  const target = `http://127.0.0.1:${guardedPort}/api/events`
  const headers = { ...JSON_TYPE, authorization: `Bearer ${generateApiKey()}` }
  const response = await fetch(target, { method: 'POST', headers, body: LARGE })
  t.equal(response.status, 429)
  t.match(await response.json(), { code: 'rate_limited' })
})

t.test('fetch sees 503 of a process that is overloaded', async (t) => {
  const busy = Fastify()
  t.teardown(() => busy.close())
  await busy.register(problems)
  await busy.register(loadShedding, { maxEventLoopDelayMs: 100, sampleMs: 50, warmUpMs: 0 })
  await busy.register(edge)
  busy.post('/work', async () => 'done')
  const target = `${await busy.listen({ port: 0, host: '127.0.0.1' })}/work`
  const refused = await until(
    async () => {
      for (const end = performance.now() + 400; performance.now() < end;);
      return fetch(target, { method: 'POST', headers: JSON_TYPE, body: LARGE })
    },
    ({ status }) => status === 503,
  )
  t.match(await refused.json(), { code: 'overloaded' })
})

t.test('of a body that is refused 32 MiB are read, and no more', async (t) => {
  const MIB = 1024 * 1024
  const dropped: { isWhole: boolean; bytes: number }[] = []
  const server = createServer((request, response) => {
    void dropBody(request).then((isWhole) => {
      dropped.push({ isWhole, bytes: request.socket.bytesRead })
      response.writeHead(413, { connection: 'close' }).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  for (const size of [20 * MIB, 40 * MIB]) {
    await new Promise<void>((resolve) => {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1', () => {
        socket.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${size}\r\n\r\n`)
        socket.write(Buffer.alloc(size, 'x'))
      })
      // Who goes on writing may see the connection end before the answer.
      socket.on('error', () => undefined)
      socket.on('data', () => undefined)
      socket.on('close', () => resolve())
    })
  }
  t.match(dropped, [{ isWhole: true }, { isWhole: false }])
  t.ok(
    (dropped[1]?.bytes ?? 0) > 32 * MIB && (dropped[1]?.bytes ?? Infinity) < 34 * MIB,
    `${dropped[1]?.bytes}`,
  )
})

/** Without a limit of its own it is waited for as long as for any request, 30 s. */
const MAX_WAIT_MS = 20_000

t.test('a body that never comes is waited for no longer than 5 s', async (t) => {
  const ask = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.write('POST /api/events HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n')
      })
      let text = ''
      socket.on('data', (chunk) => (text += chunk.toString()))
      socket.on('error', reject)
      socket.on('close', () => resolve(text))
    })
  const { answer, isInTime } = await inTime(ask, MAX_WAIT_MS)
  t.match(answer, /^HTTP\/1.1 401 /)
  t.ok(isInTime)
})

const hasPython = spawnSync('python3', ['--version']).status === 0
const mustRun = process.env['CI'] === 'true'
t.test("Python's urllib sees 413", { skip: !hasPython && !mustRun && 'no python3' }, async (t) => {
  const script = `
import sys, urllib.request, urllib.error
request = urllib.request.Request(sys.argv[1], b'x' * 8912896, {'authorization': sys.argv[2], 'x-tenant-id': sys.argv[3], 'content-type': 'application/json'})
try: urllib.request.urlopen(request)
except urllib.error.HTTPError as error: print(error.code)
`
  const child = spawn('python3', ['-c', script, url, KEY.authorization, KEY['x-tenant-id']])
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  await new Promise((resolve) => child.once('close', resolve))
  t.equal(output.trim(), '413')
})

t.test('an empty body with a JSON content type is no body, wherever none is needed', async (t) => {
  const document = (await app.inject('/openapi.json')).json<OpenApiDocument>()
  // The first call may leave something behind.
  const anybody = () => ({ ...KEY, 'x-tenant-id': crypto.randomUUID() })
  let asked = 0
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, { requestBody }] of Object.entries(operations)) {
      if (!['post', 'put', 'patch', 'delete'].includes(method) || requestBody?.required === true) continue
      const target = path.replaceAll(/\{\w+\}/g, crypto.randomUUID())
      const without = await app.inject({
        method: method.toUpperCase() as 'POST',
        url: target,
        headers: anybody(),
      })
      const empty = await fetch(new URL(target, url), {
        method: method.toUpperCase(),
        headers: { ...anybody(), ...JSON_TYPE },
      })
      const said = `${method} ${path} ${await empty.text()}`
      t.equal(empty.status, without.statusCode, said)
      t.not(empty.status, 415, said)
      asked++
    }
  }
  t.ok(asked > 40, `${asked} operations`)
})
