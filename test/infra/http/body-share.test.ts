import { request as httpRequest } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { shareBodies } from '#infra/http/body-share.ts'
import problems from '#infra/http/problems.ts'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'

t.test('bodies that one shop announces leave memory for those of others', async (t) => {
  const service = await startApp(t)
  await service.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = service.app.server.address() as AddressInfo
  const [announcing, other] = [service.tenant(), service.tenant()]
  const answers: string[] = []
  const sockets = Array.from({ length: 10 }, (): Socket => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => answers.push(chunk.toString()))
    socket.write(
      `POST /api/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${TEST_PLATFORM_KEY}\r\n` +
        `x-tenant-id: ${announcing.id}\r\ncontent-type: application/json\r\ncontent-length: ${8 * 1024 * 1024}\r\n\r\n`,
    )
    return socket
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  // A refusal is written once the body has come, or has not for some seconds.
  await eventually('those beyond its share are refused', () => answers.length === 4)
  for (const answer of answers) {
    t.match(answer, /^HTTP\/1\.1 503 [^]*retry-after: 1[^]*Bodies of the same caller/)
  }
  t.equal((await other.post('/api/events', { event: 'a.b', data: {} })).statusCode, 202)
  for (const socket of sockets) socket.destroy()
  await eventually('what is hung up is forgotten', async () => {
    const text = 'x'.repeat(1_000)
    const events = Array.from({ length: 1_000 }, () => ({ event: 'a.b', data: { text: text.repeat(4) } }))
    return (await announcing.post('/api/events', { events })).statusCode === 202
  })
})

/** Requests whose handlers go on until they are told to end; all bodies may have 100 bytes together. */
async function heldBodies(t: Test) {
  const held: (() => void)[] = []
  const hungUp: string[] = []
  const app = Fastify()
  await app.register(problems)
  shareBodies(app, { partyOf: ({ headers }) => String(headers['x-tenant-id']), totalBytes: 100 })
  app.addHook('onRequest', async ({ headers }, reply) => {
    reply.raw.on('close', () => {
      if (!reply.raw.writableEnded) hungUp.push(String(headers['x-tenant-id']))
    })
  })
  const access = { role: 'viewer' } as const
  app.post('/held', { config: { access } }, async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    held.push(() => resolve(undefined))
    await promise
    return 'done'
  })
  t.teardown(async () => {
    for (const end of held) end()
    await app.close()
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  /** Sends a body of so many bytes, in chunks without a length or with one. */
  const send = (tenant: string, bytes: number, chunked = false) => {
    const { promise, resolve } = Promise.withResolvers<{ status: number; text: string } | null>()
    const headers = {
      'x-tenant-id': tenant,
      'content-type': 'application/json',
      ...(chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': bytes }),
    }
    const request = httpRequest(
      { port, host: '127.0.0.1', path: '/held', method: 'POST', headers },
      (answer) => {
        let text = ''
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()))
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
      },
    )
    request.on('error', () => resolve(null))
    request.end(JSON.stringify('x'.repeat(bytes - 2)))
    return { answer: promise, hangUp: () => request.destroy() }
  }
  return { held, hungUp, send }
}

t.test('a body counts until its answer, in chunks as with a length', async (t) => {
  const { held, send } = await heldBodies(t)
  for (const chunked of [false, true]) {
    held.length = 0
    const first = send('a', 70, chunked)
    await eventually('it is handled', () => held.length === 1)
    const second = await send('a', 20, chunked).answer
    t.equal(second?.status, 503)
    t.match(second?.text, 'Bodies of the same caller that are under way take its share of memory')
    const other = send('b', 20, chunked)
    await eventually('another one is taken', () => held.length === 2)
    const third = await send('c', 20, chunked).answer
    t.match(third?.text, 'Bodies of all callers that are under way')
    for (const end of held) end()
    for (const { answer } of [first, other]) t.equal((await answer)?.status, 200)
    const again = send('a', 70, chunked)
    await eventually('all of it is free again', () => held.length === 3)
    held[2]?.()
    t.equal((await again.answer)?.status, 200)
  }
})

t.test('who hangs up frees nothing while the body is worked with', async (t) => {
  const { held, hungUp, send } = await heldBodies(t)
  const first = send('a', 70)
  await eventually('it is handled', () => held.length === 1)
  first.hangUp()
  await eventually('its end is seen', () => hungUp.length === 1)
  t.equal((await send('a', 20).answer)?.status, 503)
  held[0]?.()
  const again = send('a', 70)
  await eventually('it is free when the handler has ended', () => held.length === 2)
  held[1]?.()
  t.equal((await again.answer)?.status, 200)
})
