import t from 'tap'
import type { ApiKeyWithSecret } from '#modules/key/schemas.ts'
import type { Tenant as TenantBody } from '#modules/tenant/schemas.ts'
import { clientFor, startApp } from '#test/support/app.ts'

const service = await startApp(t)

t.test('a tenant that nothing was changed for has the defaults, and reading makes no row', async (t) => {
  const tenant = service.tenant()
  const answer = await tenant.get('/api/tenant')
  t.equal(answer.statusCode, 200)
  t.same(answer.json(), {
    id: tenant.id,
    strict_events: false,
    time_zone: 'UTC',
    quiet_hours: null,
    business_days: { weekdays: ['MON', 'TUE', 'WED', 'THU', 'FRI'], holidays: [] },
    has_platform: false,
    created_at: null,
    updated_at: null,
  })
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

t.test('a tenant says when it is awake, each part by itself', async (t) => {
  const tenant = service.tenant()
  const quiet_hours = { from: '21:00', to: '08:00' }
  const first = await tenant.patch('/api/tenant', { time_zone: 'Europe/Lisbon', quiet_hours })
  t.equal(first.statusCode, 200, first.body)
  t.match(first.json(), { time_zone: 'Europe/Lisbon', quiet_hours, business_days: { holidays: [] } })
  const second = await tenant.patch('/api/tenant', { business_days: { holidays: ['2026-12-25'] } })
  t.match(second.json(), {
    time_zone: 'Europe/Lisbon',
    quiet_hours,
    business_days: { weekdays: ['MON', 'TUE', 'WED', 'THU', 'FRI'], holidays: ['2026-12-25'] },
  })
  await tenant.patch('/api/tenant', { strict_events: true })
  const last = await tenant.patch('/api/tenant', { quiet_hours: null, business_days: { weekdays: ['SAT'] } })
  t.match(last.json(), {
    strict_events: true,
    time_zone: 'Europe/Lisbon',
    quiet_hours: null,
    business_days: { weekdays: ['SAT'], holidays: ['2026-12-25'] },
  })
  t.same((await tenant.get('/api/tenant')).json(), last.json())
  const log = (await tenant.get('/api/audit-log')).json<{ data: { detail: object }[] }>()
  t.ok(log.data.some(({ detail }) => 'quiet_hours' in detail))
})

t.test('two changes at the same time both hold', async (t) => {
  const tenant = service.tenant()
  const changes = [
    { time_zone: 'Asia/Tokyo' },
    { business_days: { holidays: ['2026-01-01'] } },
    { strict_events: true },
  ]
  const answers = await Promise.all(changes.map((change) => tenant.patch('/api/tenant', change)))
  t.same(
    answers.map(({ statusCode }) => statusCode),
    [200, 200, 200],
  )
  t.match((await tenant.get('/api/tenant')).json(), {
    time_zone: 'Asia/Tokyo',
    strict_events: true,
    business_days: { holidays: ['2026-01-01'] },
  })
})

t.test('what is no time, zone or day is refused by name', async (t) => {
  const tenant = service.tenant()
  const wrong: [body: object, pointer: string][] = [
    [{ time_zone: 'Lisbon' }, '/time_zone'],
    [{ time_zone: '' }, '/time_zone'],
    [{ time_zone: '+01:00' }, '/time_zone'],
    [{ quiet_hours: { from: '21:00' } }, '/quiet_hours/to'],
    [{ quiet_hours: { from: '25:00', to: '08:00' } }, '/quiet_hours/from'],
    [{ quiet_hours: { from: '9:00', to: '10:00' } }, '/quiet_hours/from'],
    [{ quiet_hours: { from: '08:00', to: '08:00' } }, '/quiet_hours/to'],
    [{ business_days: { weekdays: [] } }, '/business_days/weekdays'],
    [{ business_days: { weekdays: ['MONDAY'] } }, '/business_days/weekdays/0'],
    [{ business_days: { holidays: ['2026-02-30'] } }, '/business_days/holidays/0'],
    [{ business_days: { holidays: ['25.12.2026'] } }, '/business_days/holidays/0'],
    [{ business_days: {} }, '/business_days'],
  ]
  for (const [body, pointer] of wrong) {
    const answer = await tenant.patch('/api/tenant', body)
    t.equal(answer.statusCode, 400, JSON.stringify(body))
    const { errors = [] } = answer.json<{ errors?: { pointer: string }[] }>()
    t.ok(
      errors.some((error) => error.pointer.endsWith(pointer)),
      `${pointer}: ${answer.body}`,
    )
  }
})
