import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { shopOf, startShop } from './shop.ts'
import { eventually } from '#test/support/deliveries.ts'

async function listen(t: Test, server: Server): Promise<string> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

t.test('a batch refused as a whole goes in halves, and no shop holds up another', async (t) => {
  const taken: string[] = []
  const away = crypto.randomUUID()
  const server = createServer((request, reply) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      const { events } = JSON.parse(text) as { events: { data: { email?: string } }[] }
      if (request.headers['x-tenant-id'] === away) reply.writeHead(503, { 'retry-after': '60' }).end('{}')
      else if (text.includes('bad@')) reply.writeHead(400).end('{}')
      else {
        taken.push(...events.map(({ data }) => data.email ?? ''))
        reply.writeHead(202).end(JSON.stringify({ results: events.map(() => ({ status: 'accepted' })) }))
      }
    })
  })
  const url = await listen(t, server)
  const shop = await startShop(t, crypto.randomUUID())
  const other = shopOf(shop.platform, away)
  await other.call('POST', '/api/customers', { email: 'first@example.com', name: 'First' })
  for (const name of ['a', 'b', 'bad', 'c', 'd']) {
    await shop.call('POST', '/api/customers', { email: `${name}@example.com`, name })
  }
  shop.platform.sendEventsTo({ url, key: null })
  const left = await eventually('one refused event', async () => {
    const entries = (await shop.call('GET', '/api/outbox')).body['data'] as { refusal: string | null }[]
    return entries.length === 1 && entries[0]?.refusal != null ? entries : null
  })
  t.match(left, [{ refusal: 'answered 400' }])
  t.same(
    taken,
    ['a', 'b', 'c', 'd'].map((name) => `${name}@example.com`),
  )
  t.equal(((await other.call('GET', '/api/outbox')).body['data'] as unknown[]).length, 1, 'it waits')
})

t.test('an event of a batch waits or is set aside as its status says, as one sent alone does', async (t) => {
  const statuses = [429, 422, 403, 401, 400]
  let requests = 0
  const server = createServer((request, reply) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      const { events } = JSON.parse(text) as { events: unknown[] }
      const results = events.map((_, index) => ({
        status: 'rejected',
        problem: { code: `because_${requests}`, status: requests === 0 ? statuses[index] : 429 },
      }))
      requests++
      reply.writeHead(202).end(JSON.stringify({ results }))
    })
  })
  const url = await listen(t, server)
  const shop = await startShop(t, crypto.randomUUID())
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    await shop.call('POST', '/api/customers', { email: `${name}@example.com`, name })
  }
  shop.platform.sendEventsTo({ url, key: null })
  await eventually('what waits is sent again', () => requests === 2)
  t.match((await shop.call('GET', '/api/outbox')).body['data'], [
    { refusal: null },
    { refusal: 'because_0' },
    { refusal: null },
    { refusal: null },
    { refusal: 'because_0' },
  ])
})

t.test('shops that get no answer hold up no other, and those with much to send take turns', async (t) => {
  const requests: { tenantId: string; emails: string[]; accept: () => void }[] = []
  const server = createServer((request, reply) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      const { events } = JSON.parse(text) as { events: { data: { email: string } }[] }
      const results = events.map(() => ({ status: 'accepted' }))
      requests.push({
        tenantId: String(request.headers['x-tenant-id']),
        emails: events.map(({ data }) => data.email),
        accept: () => reply.writeHead(202).end(JSON.stringify({ results })),
      })
    })
  })
  const url = await listen(t, server)
  const ids = Array.from({ length: 10 }, () => crypto.randomUUID())
  const [bulk = '', ...single] = ids
  const shop = await startShop(t, bulk)
  const added = [...Array.from({ length: 150 }, () => bulk), ...single]
  for (const [index, tenantId] of added.entries()) {
    const { call } = shopOf(shop.platform, tenantId)
    await call('POST', '/api/customers', { email: `${index}@example.com`, name: 'Somebody' })
  }
  shop.platform.sendEventsTo({ url, key: null })
  await eventually('eight requests', () => requests.length === 8)
  t.equal(new Set(requests.map(({ tenantId }) => tenantId)).size, 8, 'none has two')
  for (let done = 0; done < 11; done++) {
    await eventually('the next request', () => requests.length > done)
    requests[done]?.accept()
  }
  const turns = requests.map(({ tenantId }) => tenantId)
  t.equal(turns.lastIndexOf(bulk), 10, 'the second batch goes when all others had their turn')
  t.same(new Set(turns.slice(0, 10)), new Set(ids))
  const sent = requests.filter(({ tenantId }) => tenantId === bulk).flatMap(({ emails }) => emails)
  t.same(
    sent,
    Array.from({ length: 150 }, (_, index) => `${index}@example.com`),
  )
})
