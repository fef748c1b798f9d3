import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { auditOf, clientOf, type ProblemBody, register } from '#test/modules/plugin/support.ts'
import { discover, registerActions } from '#test/modules/registry/support.ts'
import {
  ACTION,
  capabilitiesOf,
  CONDITION,
  manifestOf,
  putManifest,
  TRIGGER,
  type UpdateBody,
} from './support.ts'

const service = await startApp(t)
const { registry } = service.app
const NOTHING = { triggers: [], actions: [], conditions: [] }

t.test('a manifest is written out: shorthand, defaults and all', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant, { slug: 'loyalty', name: 'Loyalty' })
  const update = await putManifest(t, tenant, 'loyalty', manifestOf())
  t.strictSame(
    { added: update.added, changed: update.changed, removed: update.removed },
    {
      added: { triggers: ['points_earned'], actions: ['award_points'], conditions: ['tier'] },
      changed: NOTHING,
      removed: NOTHING,
    },
  )
  const { capabilities } = update
  t.match(capabilities, {
    plugin: 'loyalty',
    plugin_id: id,
    origin: 'pushed',
    version: '1.0.0',
    health: 'healthy',
    last_error: null,
    next_check_at: null,
  })
  t.strictSame(capabilities.manifest, {
    name: 'Loyalty',
    slug: 'loyalty',
    version: '1.0.0',
    description: '',
    capabilities: {
      triggers: [
        {
          ...TRIGGER,
          description: '',
          output_schema: {
            type: 'object',
            properties: { customer_id: { type: 'string' }, points: { type: 'integer' } },
            required: ['points'],
          },
        },
      ],
      actions: [
        {
          ...ACTION,
          category: 'other',
          required_fields: ['customer_id', 'points'],
          optional_fields: [],
          input_schema: {
            type: 'object',
            properties: { customer_id: { type: 'string' }, points: { type: 'integer' } },
            required: ['customer_id', 'points'],
          },
          output_schema: { type: 'integer' },
          method: 'POST',
          timeout_ms: null,
          idempotent: false,
        },
      ],
      conditions: [{ ...CONDITION, description: '' }],
    },
  })
  t.strictSame(await capabilitiesOf(tenant, 'loyalty'), capabilities)
})

t.test(
  "triggers become the plugin's own event types, which its key alone of the plugins may publish",
  async (t) => {
    const tenant = service.tenant()
    const loyalty = await register(t, tenant, { slug: 'loyalty', name: 'Loyalty' })
    const other = await register(t, tenant, { slug: 'other', name: 'Other' })
    const key = await clientOf(service, tenant, { pluginId: loyalty.id })
    const event = { event: 'loyalty.points_earned', data: { points: 5 } }
    const keyOfOther = await clientOf(service, tenant, { pluginId: other.id })
    t.equal((await keyOfOther.post('/api/events', event)).statusCode, 403, 'by its slug, not declared yet')
    t.equal((await key.post('/api/events', event)).statusCode, 202, 'undeclared')
    await putManifest(t, tenant, 'loyalty', manifestOf())
    t.match((await tenant.get('/api/event-types/loyalty.points_earned')).json(), {
      source: 'plugin',
      plugin: 'loyalty',
      description: 'Points earned',
      schema: { type: 'object', required: ['points'] },
    })
    t.equal((await key.post('/api/events', event)).statusCode, 202)
    t.equal((await keyOfOther.post('/api/events', event)).statusCode, 403)
    const { added, removed } = await putManifest(
      t,
      tenant,
      'loyalty',
      manifestOf({ triggers: [{ ...TRIGGER, id: 'spent', event_types: ['loyalty.points_spent'] }] }),
    )
    t.strictSame([added.triggers, removed.triggers], [['spent'], ['points_earned']])
    t.equal((await key.post('/api/events', { ...event, event: 'loyalty.points_spent' })).statusCode, 202)
    t.equal((await tenant.get('/api/event-types/loyalty.points_earned')).statusCode, 404)
    await tenant.patch('/api/tenant', { strict_events: true })
    t.equal((await key.post('/api/events', event)).statusCode, 403, 'no longer declared, in a strict shop')
  },
)

t.test('actions enter the registry beside those that are registered', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant, { slug: 'loyalty', name: 'Loyalty' })
  await registerActions(t, tenant, 'loyalty', [{ action_type: 'ping', title: 'Ping' }])
  await putManifest(t, tenant, 'loyalty', manifestOf())
  const types = async () =>
    (await discover(t, tenant, '&source=plugin')).map(({ action_type, title }) => [action_type, title])
  t.strictSame(await types(), [
    ['award_points', 'Award points'],
    ['ping', 'Ping'],
  ])
  t.match(await registry.resolve(tenant.id, 'award_points', id), {
    action: { endpoint: '/actions/award-points' },
  })

  await registerActions(t, tenant, 'loyalty', [
    { action_type: 'award_points', title: 'Award, as registered' },
  ])
  t.strictSame(
    await types(),
    [['award_points', 'Award, as registered']],
    'one action, as the plugin said it itself',
  )
  await registerActions(t, tenant, 'loyalty', [])
  t.strictSame(await types(), [['award_points', 'Award points']], "the manifest's is there again")
  const { removed } = await putManifest(t, tenant, 'loyalty', manifestOf({ actions: [] }))
  t.strictSame(removed.actions, ['award_points'])
  t.strictSame(await types(), [])
})

t.test('the same manifest again changes nothing', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant, { slug: 'loyalty', name: 'Loyalty' })
  const first = await putManifest(t, tenant, 'loyalty', manifestOf())
  const versions = await versionsOf(tenant.id)
  const again = await putManifest(t, tenant, 'loyalty', manifestOf())
  t.strictSame([again.added, again.changed, again.removed], [NOTHING, NOTHING, NOTHING])
  t.equal(again.capabilities.last_updated, first.capabilities.last_updated)
  t.strictSame(await versionsOf(tenant.id), versions)
  await putManifest(t, tenant, 'loyalty', manifestOf({ conditions: [{ ...CONDITION, operators: ['in'] }] }))
  const log = (await auditOf(service.db, tenant.id)).filter(
    ({ action }) => action === 'plugin.manifest_changed',
  )
  t.equal(log.length, 2)
  t.match(log[1]?.detail, { slug: 'loyalty', origin: 'pushed', changed: { conditions: ['tier'] } })
})

t.test('one fault keeps all of it out, and is pointed to', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant, { slug: 'loyalty', name: 'Loyalty' })
  const trigger = (fields: object) =>
    manifestOf({ triggers: [TRIGGER, { ...TRIGGER, id: 'two', ...fields }] })
  const action = (fields: object) => manifestOf({ actions: [ACTION, { ...ACTION, id: 'two', ...fields }] })
  const condition = (fields: object) =>
    manifestOf({ conditions: [CONDITION, { ...CONDITION, id: 'two', ...fields }] })
  const cases: [object, string][] = [
    [manifestOf({}, { author: 'A' }), '/author'],
    [manifestOf({}, { name: undefined }), '/name'],
    [manifestOf({ webhooks: [] }), '/capabilities/webhooks'],
    [manifestOf({}, { capabilities: undefined }), '/capabilities'],
    [manifestOf({}, { conditions: [] }), '/conditions'],
    [manifestOf({}, { health: '' }), '/health'],
    [manifestOf({}, { last_updated: 'yesterday' }), '/last_updated'],
    [{ actions: [{ ...ACTION, endpoint: '//evil/' }] }, '/actions/0/endpoint'],
    [{ triggers: [{ ...TRIGGER, output_schema: { a: 'text' } }] }, '/triggers/0/output_schema/a'],
    [trigger({ event_types: ['Bad Type'] }), '/capabilities/triggers/1/event_types/0'],
    [trigger({ event_types: [] }), '/capabilities/triggers/1/event_types'],
    [trigger({ output_schema: { a: 'text' } }), '/capabilities/triggers/1/output_schema/a'],
    [trigger({ output_schema: { a: 'string' } }), '/capabilities/triggers/1/event_types/0'],
    [trigger({ id: 'points_earned' }), '/capabilities/triggers/1/id'],
    [action({ id: 'send_email' }), '/capabilities/actions/1/id'],
    [action({ id: 'award_points' }), '/capabilities/actions/1/id'],
    [action({ endpoint: '//evil/' }), '/capabilities/actions/1/endpoint'],
    [action({ input_schema: { $ref: '#' } }), '/capabilities/actions/1/input_schema/$ref'],
    [action({ required_fields: ['a'] }), '/capabilities/actions/1/required_fields'],
    [condition({ path: 'a..b' }), '/capabilities/conditions/1/path'],
    [condition({ operators: ['equals', 'resembles'] }), '/capabilities/conditions/1/operators/1'],
    [condition({ value_type: 'money' }), '/capabilities/conditions/1/value_type'],
  ]
  for (const [manifest, pointer] of cases) {
    const response = await tenant.put('/api/plugins/loyalty/manifest', manifest)
    t.ok([400, 422].includes(response.statusCode), response.body)
    const [error] = response.json<ProblemBody>().errors ?? []
    t.equal(error?.pointer, pointer, response.body)
  }
  t.match(await capabilitiesOf(tenant, 'loyalty'), { manifest: null, origin: null, health: 'unknown' })
  t.strictSame(await discover(t, tenant, '&source=plugin'), [])
  t.equal((await tenant.get('/api/event-types/two.done')).statusCode, 404)
  t.equal((await tenant.get('/api/event-types/loyalty.points_earned')).statusCode, 404)
})

t.test('a manifest is at most 256 KiB', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant, { slug: 'loyalty', name: 'Loyalty' })
  const large = manifestOf({}, { description: 'x'.repeat(256 * 1024) })
  t.equal((await tenant.put('/api/plugins/loyalty/manifest', large)).statusCode, 413)
})

t.test('what a plugin declared goes with it', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant, { slug: 'loyalty', name: 'Loyalty' })
  await putManifest(t, tenant, 'loyalty', manifestOf())
  await tenant.delete('/api/plugins/loyalty')
  t.equal((await tenant.get('/api/event-types/loyalty.points_earned')).statusCode, 404)
  t.strictSame(await discover(t, tenant, '&source=plugin'), [])
  await register(t, tenant, { slug: 'loyalty', name: 'Loyalty' })
  t.match(await capabilitiesOf(tenant, 'loyalty'), { manifest: null })
  await putManifest(t, tenant, 'loyalty', manifestOf())
})

t.test('an editor and the plugin itself may give it, nobody else', async (t) => {
  const tenant = service.tenant()
  const loyalty = await register(t, tenant, { slug: 'loyalty', name: 'Loyalty' })
  const other = await register(t, tenant, { slug: 'other', name: 'Other' })
  const ask = async (holder: Parameters<typeof clientOf>[2]) =>
    (await (await clientOf(service, tenant, holder)).put('/api/plugins/loyalty/manifest', manifestOf()))
      .statusCode
  t.equal(await ask('viewer'), 403)
  t.equal(await ask({ pluginId: other.id }), 403)
  t.equal(await ask({ pluginId: loyalty.id }), 200)
  t.equal(await ask('editor'), 200)
  t.equal((await tenant.put('/api/plugins/unknown/manifest', manifestOf())).statusCode, 404)
  t.equal((await service.tenant().put('/api/plugins/loyalty/manifest', manifestOf())).statusCode, 404)
  t.equal((await service.tenant().get('/api/plugins/loyalty/capabilities')).statusCode, 404)
})

t.test('two plugins that declare the same event type at once: one of them has it', async (t) => {
  const tenant = service.tenant()
  const slugs = ['one', 'two', 'three', 'four']
  for (const slug of slugs) await register(t, tenant, { slug, name: slug })
  const answers = await Promise.all(
    slugs.map((slug) => tenant.put(`/api/plugins/${slug}/manifest`, manifestOf())),
  )
  const owns = answers.map((answer) => answer.json<UpdateBody>().capabilities.own_event_types)
  t.strictSame(owns.map((types) => types.length).sort(), [0, 0, 0, 1], 'the others offer it')
})

async function versionsOf(tenantId: string) {
  return service.db
    .selectFrom('tenants')
    .select(['actions_version', 'subscriptions_version'])
    .where('id', '=', tenantId)
    .executeTakeFirstOrThrow()
}
