import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { startService } from '#test/support/service-process.ts'

const OPEN_FILES = 256
const FLOOD = 2 * OPEN_FILES
const EVENTS = 50

t.test('more connections than files may be open: work goes on, and nothing ends the process', async (t) => {
  const { url: databaseUrl } = await createTestDatabase(t)
  const receiver = await startReceiver(t)
  const service = await startService(t, { databaseUrl, openFiles: OPEN_FILES })
  t.ok(
    service.log.some((line) => line.includes('MAX_IN_FLIGHT is lowered')),
    'which is told at start',
  )
  const tenantId = crypto.randomUUID()
  const plugin = { name: 'Files', slug: 'files', webhook_url: receiver.url, events: ['order.created'] }
  t.equal((await service.request('POST', '/api/plugins', { tenantId, body: plugin })).status, 201)
  // A backend that has its connection already.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  t.equal(await send(0), 202)

  const flood = Array.from({ length: FLOOD }, () => connect(Number(new URL(service.url).port), '127.0.0.1'))
  t.teardown(() => flood.forEach((socket) => socket.destroy()))
  let closed = 0
  for (const socket of flood) socket.on('error', () => undefined).once('close', () => closed++)
  await eventually('those beyond the limit are closed', () => closed >= FLOOD - OPEN_FILES / 2)
  t.ok(flood.filter(isOpen).length > OPEN_FILES / 4, 'and others held')
  for (let number = 1; number < EVENTS; number++) t.equal(await send(number), 202)
  await eventually('all are delivered', () => receiver.received.length >= EVENTS)
  t.equal(receiver.received.length, EVENTS)
  t.match(await get('/metrics'), /^bcs_connections_dropped_total [1-9]/m)
  await eventually('the log says so', () =>
    service.log.some((line) => line.includes('connections are refused')),
  )
  for (const socket of flood) socket.destroy()
  await eventually('others get in again', async () => {
    const response = await service.request('GET', '/health/ready').catch(() => undefined)
    await response?.text().catch(() => undefined)
    return response?.status === 200
  })

  function send(number: number): Promise<number> {
    const body = JSON.stringify({ id: `order-${number}`, event: 'order.created', data: { order_id: number } })
    return exchange('POST', '/api/events', body).then(({ status }) => status)
  }

  function get(path: string): Promise<string> {
    return exchange('GET', path).then(({ text }) => text)
  }

  function exchange(method: string, path: string, body = ''): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const headers = {
        authorization: `Bearer ${TEST_PLATFORM_KEY}`,
        'x-tenant-id': tenantId,
        ...(body !== '' && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      }
      request(service.url + path, { method, agent, headers }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      })
        .on('error', reject)
        .end(body)
    })
  }
})

function isOpen(socket: Socket): boolean {
  return !socket.destroyed && socket.readyState === 'open'
}
