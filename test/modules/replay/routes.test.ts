import t from 'tap'
import { generateApiKey, hashApiKey } from '#lib/secrets/api-key.ts'
import { newId } from '#lib/ids.ts'
import type { Replay } from '#modules/replay/schemas.ts'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { seedPlugin } from './support.ts'

const service = await startApp(t)
const { app, db } = service
const UNKNOWN_ID = '0198aaaa-0000-7000-8000-000000000000'

async function withKey(
  tenantId: string,
  kind: { role: 'viewer' | 'editor' } | { pluginId: string },
): Promise<Tenant> {
  const key = generateApiKey()
  await db
    .insertInto('api_keys')
    .values({
      id: newId(),
      tenant_id: tenantId,
      kind: 'role' in kind ? 'tenant' : 'plugin',
      role: 'role' in kind ? kind.role : null,
      plugin_id: 'pluginId' in kind ? kind.pluginId : null,
      name: 'test',
      prefix: key.slice(0, 8),
      hash: hashApiKey(key),
    })
    .execute()
  return clientFor(app, tenantId, key)
}

const codeOf = ({ body }: { body: string }): string => (JSON.parse(body) as { code: string }).code

t.test('says what is wrong with a request', async (t) => {
  const tenant = service.tenant()
  const { slug } = await seedPlugin(db, tenant.id)
  const url = `/api/plugins/${slug}/replays`
  const pointerOf = async (body: unknown): Promise<string | undefined> => {
    const answer = await tenant.post(url, body)
    t.equal(answer.statusCode, 400)
    return answer.json<{ errors?: { pointer: string }[] }>().errors?.[0]?.pointer
  }
  t.equal(await pointerOf({ event: 'order *' }), '/event')
  t.equal(await pointerOf({ since: '2026-05-01T00:00:00Z', until: '2026-04-01T00:00:00Z' }), '/since')
  t.equal(await pointerOf({ since: '9999-01-01T00:00:00Z' }), '/since')
  t.equal(await pointerOf({ since: 'yesterday' }), '/since')
  t.equal(await pointerOf({ status: 'lost' }), '/status')
  await pointerOf({ unknown: 1 })

  const missing = await tenant.post('/api/plugins/none/replays', {})
  t.equal(missing.statusCode, 404)
  t.equal(codeOf(missing), 'plugin_not_found')
})

t.test('opens at most ten at a time, however many are asked for at once', async (t) => {
  const tenant = service.tenant()
  const { slug } = await seedPlugin(db, tenant.id)
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => tenant.post(`/api/plugins/${slug}/replays`, {})),
  )
  t.equal(answers.filter(({ statusCode }) => statusCode === 202).length, 10)
  const refused = answers.filter(({ statusCode }) => statusCode === 409)
  t.strictSame(refused.map(codeOf), ['too_many_replays', 'too_many_replays'])

  const other = service.tenant()
  const plugin = await seedPlugin(db, other.id)
  t.equal((await other.post(`/api/plugins/${plugin.slug}/replays`, {})).statusCode, 202, 'for each tenant')

  const first = (await tenant.get('/api/replays?limit=7')).json<{ data: Replay[]; next_cursor: string }>()
  const second = (await tenant.get(`/api/replays?limit=7&cursor=${first.next_cursor}`)).json<{
    data: Replay[]
    next_cursor: null
  }>()
  t.equal(second.next_cursor, null)
  const ids = [...first.data, ...second.data].map(({ id }) => id)
  t.equal(new Set(ids).size, 10)
  t.equal(codeOf(await tenant.get('/api/replays?cursor=zzz')), 'invalid_cursor')
})

t.test("answers another tenant's replay like one that never was", async (t) => {
  const [mine, theirs] = [service.tenant(), service.tenant()]
  const { slug } = await seedPlugin(db, theirs.id)
  await seedPlugin(db, mine.id)
  const { id } = (await theirs.post(`/api/plugins/${slug}/replays`, {})).json<Replay>()
  const headers = { 'x-request-id': 'same' }
  const foreign = await mine.get(`/api/replays/${id}`, headers)
  const unknown = await mine.get(`/api/replays/${UNKNOWN_ID}`, headers)
  t.equal(foreign.statusCode, 404)
  t.equal(foreign.body, unknown.body)
  t.equal((await mine.post(`/api/replays/${id}/cancel`)).statusCode, 404)
  t.equal((await mine.post(`/api/plugins/${slug}/replays`, {})).statusCode, 404)
  t.strictSame((await mine.get('/api/replays')).json(), { data: [], next_cursor: null })
  t.equal((await theirs.get(`/api/replays/${id}`)).json<Replay>().status, 'queued')
})

t.test('viewers read, editors replay, a plugin replays to itself only', async (t) => {
  const tenant = service.tenant()
  const [own, other] = [await seedPlugin(db, tenant.id), await seedPlugin(db, tenant.id)]
  const viewer = await withKey(tenant.id, { role: 'viewer' })
  const editor = await withKey(tenant.id, { role: 'editor' })
  const plugin = await withKey(tenant.id, { pluginId: own.id })
  const url = (slug: string): string => `/api/plugins/${slug}/replays`

  t.equal((await viewer.post(url(own.slug), {})).statusCode, 403)
  const theirs = (await editor.post(url(other.slug), {})).json<Replay>()
  const answer = await plugin.post(url(own.slug), {})
  t.equal(answer.statusCode, 202)
  t.equal((await plugin.post(url(other.slug), {})).statusCode, 403)

  t.equal((await viewer.get(`/api/replays/${theirs.id}`)).statusCode, 200)
  t.equal((await plugin.get(`/api/replays/${theirs.id}`)).statusCode, 404)
  t.equal((await plugin.post(`/api/replays/${theirs.id}/cancel`)).statusCode, 404)
  const seen = (await plugin.get('/api/replays')).json<{ data: Replay[] }>().data
  t.strictSame(
    seen.map((replay) => replay.plugin),
    [own.slug],
  )
  const { data } = (await viewer.get(`/api/replays?plugin=${other.slug}`)).json<{ data: Replay[] }>()
  t.strictSame(
    data.map((replay) => replay.id),
    [theirs.id],
  )
  t.equal((await viewer.post(`/api/replays/${theirs.id}/cancel`)).statusCode, 403)
  t.match((await plugin.post(`/api/replays/${answer.json<Replay>().id}/cancel`)).json(), {
    status: 'cancelled',
  })
})
