import t from 'tap'
import { generateApiKey, hashApiKey } from '#lib/secrets/api-key.ts'
import { newId } from '#lib/ids.ts'
import type { Erasure } from '#modules/erasure/schemas.ts'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { seedEvent, seedPlugin } from '#test/modules/replay/support.ts'

const service = await startApp(t)
const { app, db } = service
const request = { path: 'customer.email', value: 'jane@example.com' }
const UNKNOWN_ID = '0198aaaa-0000-7000-8000-000000000000'

async function withRole(tenantId: string, role: 'admin' | 'editor'): Promise<Tenant> {
  const key = generateApiKey()
  const row = { id: newId(), tenant_id: tenantId, kind: 'tenant', role, name: 'test' } as const
  await db
    .insertInto('api_keys')
    .values({ ...row, prefix: key.slice(0, 8), hash: hashApiKey(key) })
    .execute()
  return clientFor(app, tenantId, key)
}

t.test('says what is wrong with a request', async (t) => {
  const tenant = service.tenant()
  for (const [body, pointer] of [
    [{ path: 'customer..email', value: 'x' }, '/path'],
    [{ path: 'customer.email' }, undefined],
    [{ path: 'customer.email', value: null }, undefined],
    [{ path: 'customer.email', value: { a: 1 } }, undefined],
    [{ ...request, tenant: 'x' }, undefined],
  ] as const) {
    const answer = await tenant.post('/api/erasures', body)
    t.equal(answer.statusCode, 400, JSON.stringify(body))
    const { code, errors } = answer.json<{ code: string; errors?: { pointer: string }[] }>()
    t.equal(code, 'invalid_request')
    if (pointer !== undefined) t.equal(errors?.[0]?.pointer, pointer)
  }
  const exact = await tenant.post('/api/erasures', '{"path":"id","value":9007199254740993}')
  t.equal(exact.statusCode, 400, 'a number that would be altered is refused')
})

t.test('is for admins only, and each tenant sees its own', async (t) => {
  const tenant = service.tenant()
  await seedPlugin(db, tenant.id)
  await seedEvent(db, tenant.id)
  const admin = await withRole(tenant.id, 'admin')
  const editor = await withRole(tenant.id, 'editor')
  const created = await admin.post('/api/erasures', request)
  t.equal(created.statusCode, 202)
  const { id } = created.json<Erasure>()
  for (const answer of [
    await editor.post('/api/erasures', request),
    await editor.get('/api/erasures'),
    await editor.get(`/api/erasures/${id}`),
  ]) {
    t.equal(answer.statusCode, 403)
  }
  const other = service.tenant()
  const headers = { 'x-request-id': 'same' }
  const foreign = await other.get(`/api/erasures/${id}`, headers)
  t.equal(foreign.statusCode, 404)
  t.equal(foreign.body, (await other.get(`/api/erasures/${UNKNOWN_ID}`, headers)).body)
  t.strictSame((await other.get('/api/erasures')).json(), { data: [], next_cursor: null })
})

t.test('opens at most ten at a time, and lists them page by page', async (t) => {
  const tenant = service.tenant()
  const answers = await Promise.all(Array.from({ length: 12 }, () => tenant.post('/api/erasures', request)))
  t.equal(answers.filter(({ statusCode }) => statusCode === 202).length, 10)
  const refused = answers.filter(({ statusCode }) => statusCode === 409)
  t.strictSame(
    refused.map((answer) => answer.json<{ code: string }>().code),
    ['too_many_erasures', 'too_many_erasures'],
  )
  const first = (await tenant.get('/api/erasures?limit=6')).json<{ data: Erasure[]; next_cursor: string }>()
  const rest = await tenant.get(`/api/erasures?limit=6&cursor=${first.next_cursor}`)
  const second = rest.json<{ data: Erasure[]; next_cursor: string | null }>()
  t.equal(second.next_cursor, null)
  t.equal(new Set([...first.data, ...second.data].map(({ id }) => id)).size, 10)
  const wrong = await tenant.get('/api/erasures?cursor=zzz')
  t.equal(wrong.json<{ code: string }>().code, 'invalid_cursor')
})
