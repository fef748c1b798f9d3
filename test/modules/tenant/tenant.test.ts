import t from 'tap'
import type { ApiKeyWithSecret } from '#modules/key/schemas.ts'
import type { Tenant as TenantBody } from '#modules/tenant/schemas.ts'
import { clientFor, startApp } from '#test/support/app.ts'

const service = await startApp(t)

t.test('a tenant that nothing was changed for has the defaults, and reading makes no row', async (t) => {
  const tenant = service.tenant()
  const answer = await tenant.get('/api/tenant')
  t.equal(answer.statusCode, 200)
  t.same(answer.json(), { id: tenant.id, strict_events: false, created_at: null, updated_at: null })
  const rows = await service.db.selectFrom('tenants').select('id').where('id', '=', tenant.id).execute()
  t.same(rows, [])
})

t.test('a change holds, is in the audit log, and tells intake to read again', async (t) => {
  const tenant = service.tenant()
  const version = async () => {
    const query = service.db.selectFrom('tenants').select('subscriptions_version').where('id', '=', tenant.id)
    return (await query.executeTakeFirst())?.subscriptions_version
  }
  const changed = await tenant.patch('/api/tenant', { strict_events: true })
  t.equal(changed.statusCode, 200)
  t.equal(changed.json<TenantBody>().strict_events, true)
  const before = await version()
  t.same((await tenant.get('/api/tenant')).json(), changed.json())
  await tenant.patch('/api/tenant', { strict_events: false })
  t.equal(await version(), (before ?? NaN) + 1)
  const log = (await tenant.get('/api/audit-log')).json<{
    data: { action: string; detail: { strict_events: boolean } }[]
  }>()
  t.same(new Set(log.data.map(({ action }) => action)), new Set(['tenant.updated']))
  t.same(new Set(log.data.map(({ detail }) => detail.strict_events)), new Set([true, false]))
})

t.test('an empty change, an unknown setting and a wrong type are refused', async (t) => {
  const tenant = service.tenant()
  for (const body of [{}, { id: crypto.randomUUID() }, { strict_events: 'true' }, { strict_events: null }]) {
    const answer = await tenant.patch('/api/tenant', body)
    t.equal(answer.statusCode, 400, JSON.stringify(body))
  }
})

t.test('everybody in the tenant may read the settings, admins change them', async (t) => {
  const tenant = service.tenant()
  for (const [role, patch] of Object.entries({ viewer: 403, editor: 403, admin: 200 })) {
    const made = await tenant.post('/api/keys', { name: role, kind: 'tenant', role })
    const client = clientFor(service.app, tenant.id, made.json<ApiKeyWithSecret>().key)
    t.equal((await client.get('/api/tenant')).statusCode, 200, role)
    t.equal((await client.patch('/api/tenant', { strict_events: true })).statusCode, patch, role)
  }
})
