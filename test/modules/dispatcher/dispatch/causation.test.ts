import t from 'tap'
import { newId } from '#lib/ids.ts'
import { causationToken } from '#modules/event/index.ts'
import { clientOf } from '#test/modules/plugin/support.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import type { Received } from '#test/support/receiver.ts'
import type { DispatchResult } from '#modules/dispatcher/schemas.ts'
import { actionAt, json, readLog, registerPlugin, startPlugin } from '../support.ts'

const service = await startApp(t)
const NAMES = ['x-causation-id', 'x-causation-depth', 'x-causation-token']

async function authorOf(shop: Tenant, slug: string, pluginId: string): Promise<Tenant> {
  const given = await shop.patch(`/api/plugins/${slug}`, { scopes: ['actions:call:*'] })
  t.equal(given.statusCode, 200, given.body)
  return clientOf(service, shop, { pluginId })
}

async function ask(author: Tenant, action: string, headers: Record<string, string> = {}) {
  const events = [{ action_type: action, payload: {} }]
  const answer = await author.post('/api/plugins/events/automation', { events }, headers)
  t.equal(answer.statusCode, 200, answer.body)
  return answer.json<DispatchResult>().results[0]
}

t.test('plugins whose actions ask for each other come to an end', async (t) => {
  const shop = service.tenant()
  const ended = Promise.withResolvers<unknown>()
  const authors: Tenant[] = []
  const answering =
    (other: number, action: string) =>
    (response: Parameters<ReturnType<typeof json>>[0], { headers }: Received) => {
      json(200, {})(response)
      const back = NAMES.flatMap((name) =>
        headers[name] === undefined ? [] : [[name, String(headers[name])]],
      )
      ask(authors[other] as Tenant, action, Object.fromEntries(back) as Record<string, string>).then(
        (result) => result?.success !== true && ended.resolve(result),
        ended.reject,
      )
    }
  const server = await startPlugin(t, { '/ping': answering(0, 'pong'), '/pong': answering(1, 'ping') })
  for (const name of ['ping', 'pong']) {
    const { id } = await registerPlugin(shop, server.url, name, [actionAt(name)])
    authors.push(await authorOf(shop, name, id))
  }
  t.match(await ask(shop, 'ping'), { success: true })
  t.match(await ended.promise, {
    success: false,
    attempts: 0,
    error: { code: 'causation_depth', message: /More than 8 automations/ },
  })
  t.strictSame(
    server.received.map(({ headers }) => headers['x-causation-depth']),
    [undefined, '1', '2', '3', '4', '5', '6', '7', '8', '9'],
  )
  t.match((await readLog(shop))[0], { success: false, error_code: 'causation_depth' })
})

t.test('a dispatch is one further than what it hands back', async (t) => {
  const shop = service.tenant()
  const server = await startPlugin(t)
  const { id: pluginId } = await registerPlugin(shop, server.url, 'p', [actionAt('act')])
  const author = await authorOf(shop, 'p', pluginId)
  const causation = { id: newId(), depth: 3 }
  const token = causationToken(service.app.secretBox, { tenantId: shop.id, pluginId }, causation)
  const told = { 'x-causation-id': causation.id, 'x-causation-depth': '3', 'x-causation-token': token }
  await ask(author, 'act', told)
  await ask(author, 'act', { ...told, 'x-causation-token': 'made-up' })
  await ask(author, 'act')
  t.match(
    server.received.map(({ headers }) => [headers['x-causation-depth'], headers['x-causation-id']]),
    [
      ['4', causation.id],
      ['4', undefined],
      ['1', undefined],
    ],
  )
  t.match(await ask(author, 'act', { 'x-causation-depth': '9' }), { error: { code: 'causation_depth' } })
  t.match(await ask(shop, 'act', { 'x-causation-depth': '9' }), { success: true })
  t.equal(server.received.length, 4)
})
