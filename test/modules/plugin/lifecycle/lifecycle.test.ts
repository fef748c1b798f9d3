import t from 'tap'
import type { Test } from 'tap'
import { sql } from 'kysely'
import { startApp } from '#test/support/app.ts'
import {
  auditOf,
  clientOf,
  insertWaiting,
  type PluginBody,
  type ProblemBody,
  register,
  subscriptionsVersion,
} from '../support.ts'

const service = await startApp(t)
const { app, db } = service
const PATH = '/api/plugins/email-marketing'

function heard(t: Test, channel: 'plugin_changed' | 'deliveries_due' | 'key_changed'): string[] {
  const ids: string[] = []
  t.teardown(app.signals.subscribe(channel, (some) => ids.push(...some)))
  return ids
}

async function laneOf(pluginId: string) {
  return db
    .selectFrom('delivery_lanes')
    .selectAll()
    .select(sql<string | null>`skip_before::text`.as('skip_before'))
    .where('plugin_id', '=', pluginId)
    .executeTakeFirstOrThrow()
}

async function failLane(pluginId: string): Promise<void> {
  await db
    .updateTable('delivery_lanes')
    .set({
      breaker_state: 'open',
      breaker_opens: 4,
      hold_until: sql<Date>`now() + interval '5 minutes'`,
      hold_reason: 'breaker_open',
      consecutive_failures: 30,
      failing_since: sql<Date>`now() - interval '6 days'`,
      failing_attempts: 30,
      failing_announced: true,
      last_error_class: 'http_5xx',
      last_failure_at: sql<Date>`now()`,
    })
    .where('plugin_id', '=', pluginId)
    .execute()
}

t.test('a paused plugin keeps what waits, and says that a person paused it', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant)
  await insertWaiting(db, tenant.id, id, ['pending', 'retry'])
  const changed = heard(t, 'plugin_changed')
  const response = await tenant.post(`${PATH}/pause`)
  t.match(response.json(), { status: 'paused', status_reason: 'manual', waiting: 2, revision: 2 })
  t.equal(response.headers['etag'], '"2"')
  t.strictSame(changed, [id])
  t.equal(
    (await tenant.post(`${PATH}/pause`)).json<PluginBody>().revision,
    2,
    'pausing again changes nothing',
  )
  t.strictSame(
    (await auditOf(db, tenant.id)).map((entry) => entry.action),
    ['plugin.created', 'plugin.paused'],
  )
})

t.test('resume releases what waits and forgets failures', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant)
  await insertWaiting(db, tenant.id, id, ['pending'])
  await failLane(id)
  await db
    .updateTable('plugins')
    .set({ status: 'disabled', status_reason: 'failing' })
    .where('id', '=', id)
    .execute()
  const before = await laneOf(id)
  const changed = heard(t, 'plugin_changed')
  const due = heard(t, 'deliveries_due')
  const plugin = (await tenant.post(`${PATH}/resume`)).json<PluginBody>()
  t.match(plugin, { status: 'active', status_reason: null, waiting: 1 })
  t.match(plugin.health, {
    breaker: 'closed',
    consecutive_failures: 0,
    hold_until: null,
    failing_since: null,
  })
  t.match(await laneOf(id), {
    health_version: before.health_version + 1,
    breaker_opens: 0,
    hold_reason: null,
    failing_attempts: 0,
    failing_announced: true,
    skip_before: null,
    last_error_class: 'http_5xx',
  })
  t.strictSame([changed, due], [[id], [id]])
})

t.test('resume may give up the backlog instead', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant, { status: 'paused' })
  await tenant.post(`${PATH}/resume`, { backlog: 'skip' })
  const lane = await laneOf(id)
  t.equal(lane.skip_reason, 'skipped')
  const { rows } = await sql<{ recent: boolean }>`
    select skip_before between now() - interval '1 minute' and now() as recent
    from delivery_lanes where plugin_id = ${id}`.execute(db)
  t.equal(rows[0]?.recent, true)
  t.strictSame((await auditOf(db, tenant.id))[1]?.detail, {
    slug: 'email-marketing',
    from: 'paused',
    backlog: 'skip',
  })
})

t.test('an active plugin whose breaker is open is tried at once by resume', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant)
  await failLane(id)
  t.match((await tenant.post(`${PATH}/resume`, {})).json(), {
    status: 'active',
    health: { breaker: 'closed' },
  })
})

t.test('a resume that is not understood changes nothing', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant, { status: 'paused' })
  for (const [body, pointer] of [
    [{ backlog: 'drop' }, '/backlog'],
    [{ backlog: null }, '/backlog'],
    [{ all: true }, '/all'],
    [[], ''],
  ] as const) {
    const response = await tenant.post(`${PATH}/resume`, body)
    t.equal(response.statusCode, 400, response.body)
    t.equal(response.json<ProblemBody>().errors?.[0]?.pointer, pointer)
  }
  t.equal((await tenant.get(PATH)).json<PluginBody>().status, 'paused')
})

t.test('pause and resume are for editors, and for the plugin itself', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant)
  for (const [holder, status] of [
    ['viewer', 403],
    [{ pluginId: id }, 200],
    ['editor', 200],
  ] as const) {
    const client = await clientOf(service, tenant, holder)
    t.equal((await client.post(`${PATH}/pause`)).statusCode, status)
    t.equal((await client.post(`${PATH}/resume`)).statusCode, status)
  }
})

t.test('a deleted plugin leaves no secret, no key and no subscription behind', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant, {
    config: { key: 'k' },
    headers: { 'x-a': 'b' },
    events: ['*'],
  })
  const other = await register(t, tenant, { slug: 'other' })
  const plugin = await clientOf(service, tenant, { pluginId: id })
  const otherPlugin = await clientOf(service, tenant, { pluginId: other.id })
  t.equal((await plugin.get(PATH)).statusCode, 200)
  await failLane(id)
  const version = await subscriptionsVersion(db, tenant.id)
  const [changed, due, keys] = [
    heard(t, 'plugin_changed'),
    heard(t, 'deliveries_due'),
    heard(t, 'key_changed'),
  ]

  const response = await tenant.delete(PATH)
  t.equal(response.statusCode, 204)
  t.equal(response.body, '')
  t.equal((await tenant.get(PATH)).statusCode, 404)
  t.equal((await tenant.delete(PATH)).statusCode, 404)
  t.equal((await plugin.get(PATH)).statusCode, 401, 'its key is revoked at once')
  t.equal((await otherPlugin.get('/api/plugins/other')).statusCode, 200, "another plugin's key is not")

  const row = await db.selectFrom('plugins').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
  t.match(row, { status: 'disabled', config_sealed: null, headers_sealed: null, subscriptions: [] })
  t.ok(row.deleted_at)
  t.strictSame(await db.selectFrom('plugin_secrets').select('id').where('plugin_id', '=', id).execute(), [])
  t.match(await laneOf(id), {
    skip_before: 'infinity',
    skip_reason: 'plugin_deleted',
    hold_until: null,
    health_version: 1,
  })
  t.equal(await subscriptionsVersion(db, tenant.id), version + 1)
  t.strictSame([changed, due, keys.length], [[id], [id], 1])
  t.match((await auditOf(db, tenant.id)).at(-1), { action: 'plugin.deleted', detail: { revoked_keys: 1 } })
})

t.test('the slug of a deleted plugin is free again, for another plugin', async (t) => {
  const tenant = service.tenant()
  const first = await register(t, tenant)
  const oldKey = await clientOf(service, tenant, { pluginId: first.id })
  await tenant.delete(PATH)
  const second = await register(t, tenant)
  t.not(second.id, first.id)
  t.equal((await tenant.get(PATH)).json<PluginBody>().id, second.id)
  t.equal((await oldKey.get(PATH)).statusCode, 401)
  t.equal((await tenant.get('/api/plugins')).json<{ data: unknown[] }>().data.length, 1)
})

t.test('of deletions at the same moment one deletes', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  const responses = await Promise.all(Array.from({ length: 5 }, () => tenant.delete(PATH)))
  t.strictSame(responses.map((response) => response.statusCode).sort(), [204, 404, 404, 404, 404])
})

t.test('only an admin deletes', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  t.equal((await (await clientOf(service, tenant, 'editor')).delete(PATH)).statusCode, 403)
  t.equal((await (await clientOf(service, tenant, 'admin')).delete(PATH)).statusCode, 204)
})
