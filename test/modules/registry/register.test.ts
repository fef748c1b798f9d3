import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { auditOf, clientOf, type ProblemBody, register } from '#test/modules/plugin/support.ts'
import { type ActionPage, discover, registerActions, WELCOME } from './support.ts'

const service = await startApp(t)
const PATH = '/api/plugins/email-marketing/register-actions'

t.test('registered actions are in the registry, written out', async (t) => {
  const tenant = service.tenant()
  const plugin = await register(t, tenant)
  const answer = await registerActions(t, tenant, plugin.slug, [
    WELCOME,
    { action_type: 'ping', title: 'Ping' },
  ])
  t.match(answer, { plugin: 'email-marketing', plugin_id: plugin.id, changed: [], removed: [] })
  t.strictSame(answer.added, ['send_welcome_email', 'ping'])
  const found = (await tenant.get('/api/plugins/email-marketing/actions')).json<ActionPage>()
  t.strictSame(found.data, answer.actions.toReversed())
  t.strictSame(answer.actions, [
    {
      ...WELCOME,
      aliases: [],
      source: 'plugin',
      plugin_id: plugin.id,
      plugin: 'email-marketing',
      plugin_active: true,
      is_default: true,
      input_schema: { type: 'object', properties: { to: {}, template: {} }, required: ['to'] },
      output_schema: null,
      idempotent: false,
      method: 'POST',
      path: null,
      timeout_ms: null,
    },
    {
      action_type: 'ping',
      title: 'Ping',
      description: '',
      category: 'other',
      aliases: [],
      source: 'plugin',
      plugin_id: plugin.id,
      plugin: 'email-marketing',
      plugin_active: true,
      is_default: true,
      required_fields: [],
      optional_fields: [],
      input_schema: null,
      output_schema: null,
      idempotent: false,
      method: 'POST',
      path: null,
      endpoint: null,
      timeout_ms: null,
    },
  ])
})

t.test('the lists of fields and the schema are one snapshot of the payload', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  const { actions } = await registerActions(t, tenant, 'email-marketing', [
    {
      action_type: 'a',
      title: 'A',
      required_fields: ['to'],
      optional_fields: ['note', 'to'],
      input_schema: { to: 'string', age: { type: 'integer', required: true } },
      output_schema: 'string',
    },
  ])
  t.match(actions[0], {
    required_fields: ['age', 'to'],
    optional_fields: ['note'],
    input_schema: {
      type: 'object',
      properties: { to: { type: 'string' }, age: { type: 'integer' } },
      required: ['age', 'to'],
    },
    output_schema: { type: 'string' },
  })
})

t.test(
  'registering again replaces, says what is different and counts for nothing if nothing is',
  async (t) => {
    const tenant = service.tenant()
    await register(t, tenant)
    const [a, b, c] = ['a', 'b', 'c'].map((name) => ({
      action_type: name,
      title: name,
      input_schema: { x: 'string' },
    }))
    await registerActions(t, tenant, 'email-marketing', [a, b] as object[])
    const { added, changed, removed } = await registerActions(t, tenant, 'email-marketing', [
      { ...b, title: 'B' },
      c,
    ] as object[])
    t.strictSame({ added, changed, removed }, { added: ['c'], changed: ['b'], removed: ['a'] })
    t.strictSame(
      (await discover(t, tenant, '&source=plugin')).map(({ title }) => title),
      ['B', 'c'],
    )
    const version = await actionsVersion(tenant.id)
    const again = await registerActions(t, tenant, 'email-marketing', [c, { ...b, title: 'B' }] as object[])
    t.strictSame([again.added, again.changed, again.removed], [[], [], []])
    t.equal(await actionsVersion(tenant.id), version)
    const written = await auditOf(service.db, tenant.id)
    t.strictSame(
      written.filter(({ action }) => action === 'plugin.actions_registered').map(({ detail }) => detail),
      [
        { slug: 'email-marketing', added: ['a', 'b'], changed: [], removed: [] },
        { slug: 'email-marketing', added: ['c'], changed: ['b'], removed: ['a'] },
      ],
    )
    await registerActions(t, tenant, 'email-marketing', [])
    t.strictSame(await discover(t, tenant, '&source=plugin'), [])
  },
)

t.test('one bad action keeps all out, and each problem names the action and the field', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  const cases: [object, string][] = [
    [{ action_type: 'create_product' }, '/action_type'],
    [{ action_type: 'send_notification' }, '/action_type'],
    [{ action_type: 'good' }, '/action_type'],
    [{ action_type: 'Bad Name' }, '/action_type'],
    [{ action_type: undefined }, '/action_type'],
    [{ title: ' ' }, '/title'],
    [{ unknown: 1 }, '/unknown'],
    [{ method: 'GET' }, '/method'],
    [{ timeout_ms: 60_000 }, '/timeout_ms'],
    [{ required_fields: ['a', 'a'] }, '/required_fields'],
    [{ required_fields: [7] }, '/required_fields/0'],
    [{ input_schema: { type: 'array' } }, '/input_schema/type'],
    [{ input_schema: { type: 'object', pattern: '(a+)+$' } }, '/input_schema/pattern'],
    [{ input_schema: { type: 'object', $ref: '#' } }, '/input_schema/$ref'],
    [{ input_schema: { to: { type: 'text' } } }, '/input_schema/properties/to/type'],
    [{ output_schema: 'text' }, '/output_schema'],
    [
      { input_schema: { a: 'string', 'x/y': { type: 'string', minLength: -1 } } },
      '/input_schema/properties/x~1y/minLength',
    ],
    [
      { input_schema: { type: 'object', additionalProperties: false }, required_fields: ['to'] },
      '/required_fields/0',
    ],
    ...[
      '//evil/',
      '@evil/',
      '../../admin',
      '\\\\evil\\',
      'https://evil/',
      '/a\nb',
      '/%2e%2e/admin',
      '/a%00b',
      '',
    ].map((endpoint) => [{ endpoint }, '/endpoint'] as [object, string]),
  ]
  for (const [fields, pointer] of cases) {
    const response = await tenant.post(PATH, {
      actions: [
        { action_type: 'good', title: 'Good' },
        { action_type: 'other', title: 'Other', ...fields },
      ],
    })
    t.ok([400, 422].includes(response.statusCode), response.body)
    const problem = response.json<ProblemBody>()
    t.equal(
      problem.errors?.[0]?.pointer,
      `/actions/1${pointer}`,
      `${JSON.stringify(fields)} ${response.body}`,
    )
  }
  t.strictSame(await discover(t, tenant, '&source=plugin'), [], 'nothing was registered')
})

t.test('a number that JavaScript cannot carry is refused, not changed', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  const response = await tenant.post(
    PATH,
    '{"actions":[{"action_type":"a","title":"A","input_schema":{"type":"object","examples":[12345678901234567890]}}]}',
  )
  t.equal(response.statusCode, 422, response.body)
  t.equal(response.json<ProblemBody>().errors?.[0]?.pointer, '/actions/0/input_schema')
})

t.test('a hostile schema is refused quickly', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  const deep = (levels: number): object => {
    let schema: object = { type: 'string' }
    for (let level = 0; level < levels; level++) schema = { type: 'object', properties: { a: schema } }
    return schema
  }
  const hostile: Record<string, object> = {
    'nine levels deep': deep(9),
    'shorthand, 25 levels deep': Array.from({ length: 25 }).reduce<object>((inner) => ({ a: inner }), {
      a: 'string',
    }),
    'a huge enum': { type: 'object', enum: Array.from({ length: 100_000 }, (_, at) => at) },
    'a wide object': Object.fromEntries(Array.from({ length: 30_000 }, (_, at) => [`p${at}`, 'string'])),
    'a recursive reference': { type: 'object', properties: { a: { $ref: '#' } } },
    'a pattern bomb': { type: 'object', properties: { a: { type: 'string', pattern: '^(a|a)*$' } } },
    'a pattern as a name': { type: 'object', patternProperties: { '^(a+)+$': { type: 'string' } } },
    'a tower of alternatives': { anyOf: Array.from({ length: 5_000 }, () => ({ type: 'object' })) },
    'a long text': { type: 'object', description: 'x'.repeat(900_000) },
  }
  for (const [name, schema] of Object.entries(hostile)) {
    const started = process.cpuUsage()
    const response = await tenant.post(PATH, {
      actions: [{ action_type: 'a', title: 'A', input_schema: schema }],
    })
    t.comment(`${name}: ${process.cpuUsage(started).user / 1000} ms of CPU`)
    t.equal(response.statusCode, 422, `${name}: ${response.body.slice(0, 200)}`)
    t.match(response.json<ProblemBody>().errors?.[0]?.pointer, /^\/actions\/0\/input_schema/)
    t.ok(response.body.length < 10_000, 'the answer is short')
  }
})

t.test('names that mean something to JavaScript are names like others', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
  const { actions } = await registerActions(t, tenant, 'email-marketing', [
    { action_type: 'constructor', title: 'A', required_fields: names, category: '__proto__' },
    { action_type: 'to_string', title: 'B', category: 'constructor' },
  ])
  t.strictSame(actions[0]?.required_fields, names)
  const grouped = (await tenant.get('/api/plugins/actions?group=category&source=plugin')).json<ActionPage>()
  t.strictSame(
    grouped.groups?.map(({ name }) => name),
    ['__proto__', 'constructor'],
  )
  t.match(await service.app.registry.resolve(tenant.id, 'toString', null), { problem: 'unknown_action' })
  t.match(await service.app.registry.resolve(tenant.id, 'constructor', '__proto__'), {
    problem: 'unknown_plugin',
  })
})

t.test('a plugin has at most 200 actions, of 256 KiB together', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  const many = Array.from({ length: 201 }, (_, at) => ({ action_type: `a${at}`, title: 'A' }))
  t.equal((await tenant.post(PATH, { actions: many })).json<ProblemBody>().errors?.[0]?.pointer, '/actions')
  const large = many.slice(0, 200).map((action) => ({ ...action, description: 'x'.repeat(1_500) }))
  t.equal((await tenant.post(PATH, { actions: large })).json<ProblemBody>().errors?.[0]?.pointer, '/actions')
  await registerActions(t, tenant, 'email-marketing', many.slice(0, 200))
})

t.test('all of a tenant together are at most 32 MiB', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  await register(t, tenant, { slug: 'full', name: 'Full' })
  // Written directly: 130 plugins' worth.
  await service.db
    .updateTable('plugins')
    .set({ registered_actions: JSON.stringify([{ action_type: 'x', filler: 'x'.repeat(33 * 1024 * 1024) }]) })
    .where('tenant_id', '=', tenant.id)
    .where('slug', '=', 'full')
    .execute()
  const response = await tenant.post(PATH, { actions: [WELCOME] })
  t.equal(response.statusCode, 409, response.body)
  t.equal(response.json<ProblemBody>().code, 'too_many_actions')
  await tenant.delete('/api/plugins/full')
  await registerActions(t, tenant, 'email-marketing', [WELCOME])
})

t.test('an editor and the plugin itself may register, nobody else', async (t) => {
  const tenant = service.tenant()
  const plugin = await register(t, tenant)
  const other = await register(t, tenant, { slug: 'other', name: 'Other' })
  const body = { actions: [WELCOME] }
  const ask = async (holder: Parameters<typeof clientOf>[2]) =>
    (await (await clientOf(service, tenant, holder)).post(PATH, body)).statusCode
  t.equal(await ask('viewer'), 403)
  t.equal(await ask({ pluginId: other.id }), 403)
  t.equal(await ask({ pluginId: plugin.id }), 200)
  t.equal(await ask('editor'), 200)
  t.equal((await tenant.post('/api/plugins/unknown/register-actions', body)).statusCode, 404)
  t.equal((await service.tenant().post(PATH, body)).statusCode, 404, "another tenant's")
})

async function actionsVersion(tenantId: string): Promise<number> {
  const row = await service.db
    .selectFrom('tenants')
    .select('actions_version')
    .where('id', '=', tenantId)
    .executeTakeFirstOrThrow()
  return row.actions_version
}
