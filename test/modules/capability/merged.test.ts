import t, { type Test } from 'tap'
import { appOn } from '#test/infra/app-on.ts'
import { clientFor, startApp, type Tenant, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { clientOf, register } from '#test/modules/plugin/support.ts'
import { registerActions } from '#test/modules/registry/support.ts'
import { CONDITION, manifestOf, type MergedBody, putManifest, TRIGGER } from './support.ts'

const service = await startApp(t)

/** A tenant with two plugins. */
async function shop(t: Test): Promise<Tenant> {
  const tenant = service.tenant()
  await register(t, tenant, { slug: 'loyalty', name: 'Loyalty' })
  await register(t, tenant, { slug: 'crm', name: 'CRM' })
  await putManifest(t, tenant, 'loyalty', manifestOf())
  await putManifest(t, tenant, 'crm', {
    name: 'CRM',
    capabilities: {
      triggers: [{ ...TRIGGER, id: 'lead_scored', name: 'Lead scored', event_types: ['crm.lead_scored'] }],
      conditions: [{ ...CONDITION, id: 'score', name: 'Score', value_type: 'number', operators: ['gt'] }],
    },
  })
  await registerActions(t, tenant, 'crm', [{ action_type: 'add_note', title: 'Add a note' }])
  return tenant
}

async function merged(t: Test, tenant: Tenant, query = ''): Promise<MergedBody> {
  const all: MergedBody = { triggers: [], actions: [], conditions: [], next_cursor: null }
  for (let cursor = ''; ;) {
    const response = await tenant.get(`/api/capabilities?limit=200${query}${cursor}`)
    t.equal(response.statusCode, 200, response.statusCode === 200 ? 'merged' : response.body)
    const page = response.json<MergedBody>()
    all.triggers.push(...page.triggers)
    all.actions.push(...page.actions)
    all.conditions.push(...page.conditions)
    if (page.next_cursor === null) return all
    cursor = `&cursor=${page.next_cursor}`
  }
}

t.test('everything that automations can be made of is in one view', async (t) => {
  const { triggers, actions, conditions } = await merged(t, await shop(t))
  t.ok(triggers.some(({ id, plugin }) => id === 'order.created' && plugin === null))
  t.strictSame(
    triggers
      .filter(({ plugin }) => plugin !== null)
      .map(({ id, plugin, event_types }) => [plugin, id, event_types]),
    [
      ['crm', 'lead_scored', ['crm.lead_scored']],
      ['loyalty', 'points_earned', ['loyalty.points_earned']],
    ],
  )
  t.equal(actions.length, 15)
  t.strictSame(
    actions.slice(-2).map(({ action_type, plugin }) => [plugin, action_type]),
    [
      ['crm', 'add_note'],
      ['loyalty', 'award_points'],
    ],
  )
  t.strictSame(
    conditions.map(({ id, plugin, operators }) => [plugin, id, operators]),
    [
      ['crm', 'score', ['gt']],
      ['loyalty', 'tier', ['equals', 'in']],
    ],
  )
})

t.test('filters narrow it down', async (t) => {
  const tenant = await shop(t)
  const counts = async (query: string) => {
    const { triggers, actions, conditions } = await merged(t, tenant, query)
    return [triggers.length, actions.length, conditions.length]
  }
  t.strictSame(await counts('&source=plugin'), [2, 2, 2])
  t.strictSame(await counts('&plugin=crm'), [1, 1, 1])
  t.strictSame(await counts('&plugin=platform&kind=actions'), [0, 13, 0])
  t.strictSame(await counts('&kind=conditions'), [0, 0, 2])
  t.strictSame(await counts('&q=SCORE'), [1, 0, 1])
  t.strictSame(await counts('&q=add_note'), [0, 1, 0])
  t.strictSame(await counts('&plugin=unknown'), [0, 0, 0])
})

t.test('pages go through all kinds without a gap', async (t) => {
  const tenant = await shop(t)
  const all = await merged(t, tenant)
  const paged: MergedBody = { triggers: [], actions: [], conditions: [], next_cursor: null }
  for (let cursor = ''; ;) {
    const page = (await tenant.get(`/api/capabilities?limit=7${cursor}`)).json<MergedBody>()
    t.ok(page.triggers.length + page.actions.length + page.conditions.length <= 7)
    paged.triggers.push(...page.triggers)
    paged.actions.push(...page.actions)
    paged.conditions.push(...page.conditions)
    if (page.next_cursor === null) break
    cursor = `&cursor=${page.next_cursor}`
  }
  t.strictSame(paged, all)
  t.match((await tenant.get('/api/capabilities?cursor=x')).json(), { code: 'invalid_cursor' })
})

t.test('it is tagged, and what changes is seen at once, on every replica', async (t) => {
  const tenant = await shop(t)
  const replica = clientFor(await appOn(t, service.databaseUrl), tenant.id, TEST_PLATFORM_KEY)
  const url = '/api/capabilities?kind=triggers&source=plugin'
  const etag = String((await tenant.get(url)).headers['etag'])
  const same = await replica.get(url, { 'if-none-match': etag })
  t.equal(same.statusCode, 304)
  t.equal(same.body, '')
  await tenant.post('/api/plugins/crm/pause')
  const changed = await replica.get(url, { 'if-none-match': etag })
  t.equal(changed.statusCode, 200)
  t.strictSame(
    changed.json<MergedBody>().triggers.map(({ plugin, plugin_active }) => [plugin, plugin_active]),
    [
      ['crm', false],
      ['loyalty', true],
    ],
  )
  await tenant.delete('/api/plugins/crm')
  t.equal((await replica.get(url)).json<MergedBody>().triggers.length, 1)
})

t.test("another tenant's plugins are not in it, and a plugin's key does not see it", async (t) => {
  const tenant = await shop(t)
  t.strictSame((await merged(t, service.tenant(), '&source=plugin')).triggers, [])
  const { id } = await register(t, tenant, { slug: 'other', name: 'Other' })
  t.equal(
    (await (await clientOf(service, tenant, { pluginId: id })).get('/api/capabilities')).statusCode,
    403,
  )
})
