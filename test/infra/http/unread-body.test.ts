import { spawn, spawnSync } from 'node:child_process'
import { connect, type AddressInfo } from 'node:net'
import t from 'tap'
import { inTime } from '#test/infra/app-on.ts'
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

t.test('an empty body with a JSON content type is no body', async (t) => {
  const headers = { ...KEY, ...JSON_TYPE }
  for (const [method, path] of [
    ['DELETE', '/api/plugins/none'],
    ['DELETE', `/api/automation/flows/${crypto.randomUUID()}`],
    ['POST', '/api/plugins/none/pause'],
    ['POST', `/api/plugins/events/${crypto.randomUUID()}/retry`],
  ] as const) {
    const response = await fetch(new URL(path, url), { method, headers })
    t.equal(response.status, 404, `${method} ${path} ${await response.text()}`)
  }
})
