import { sql } from 'kysely'
import t from 'tap'
import { FLOW_SCHEMA_VERSION, OLDEST_FLOW_SCHEMA_VERSION } from '#lib/flow/types.ts'
import type { CanonicalFlow, CanonicalStep } from '#lib/flow/types.ts'
import { stopStep } from '#lib/flow/steps/stop.ts'
import { flowOf, MINUTE_MS, outcomes, settings, startWorld, step, wait } from '../support.ts'

const world = await startWorld(t)
const NEWER = FLOW_SCHEMA_VERSION + 1
const OLDER = OLDEST_FLOW_SCHEMA_VERSION - 1
const stop = step({ type: 'stop', config: { outcome: 'done', reason: null }, next: {} })
const unknown = (next: Record<string, string>): CanonicalStep =>
  ({ ...stop, type: 'teleport', next }) as unknown as CanonicalStep
const under = (schema_version: number, flow: CanonicalFlow): CanonicalFlow =>
  ({ ...flow, schema_version }) as CanonicalFlow

t.test('a step of a type that the engine does not know fails with a code of its own', async (t) => {
  const shop = await world.shop()
  await shop.publish(flowOf({ far: unknown({ next: 'done' }), done: stop }))
  await shop.send('order.created', { id: 1 })
  await shop.run()
  const [execution] = await shop.executions()
  t.match(execution, { status: 'failed', error: { code: 'unknown_step', step_id: 'far' } })
  t.match(await shop.steps(execution?.id ?? ''), [{ type: 'teleport', status: 'failed' }])
})

t.test('steps that ask nobody end with the lifetime', { timeout: 20_000 }, async (t) => {
  const shop = await world.shop()
  const set = (to: string) => step({ type: 'set', config: { variables: {} }, next: { next: to } })
  // No compiler lets a circle pass.
  await shop.publish(flowOf({ a: set('b'), b: set('a') }, { settings: settings({ lifetime_ms: 50 }) }))
  await shop.send('order.created', { id: 1 })
  await shop.run()
  t.same(outcomes(await shop.executions()), ['timed_out/lifetime'])
})

t.test('an execution of a newer schema is left alone, and nobody waits behind it', async (t) => {
  const shop = await world.shop()
  const other = await world.shop()
  const flow = flowOf({ pause: wait(MINUTE_MS, 'end') })
  await shop.publish(flow)
  await other.publish(flow)
  await shop.send('order.created', { id: 1 })
  await shop.send('order.created', { id: 2 })
  await other.send('order.created', { id: 3 })
  await shop.run()
  await other.run()
  const [first] = await shop.executions()
  await sql`update automation_executions set schema_version = ${NEWER} where id = ${first?.id}`.execute(
    world.db,
  )
  shop.pass(2 * MINUTE_MS)
  other.pass(2 * MINUTE_MS)
  await shop.run()
  await other.run()
  t.same(outcomes(await shop.executions()), ['waiting/delay', 'completed/done'])
  t.same(outcomes(await other.executions()), ['completed/done'])
  await sql`update automation_executions set schema_version = ${FLOW_SCHEMA_VERSION} where id = ${first?.id}`.execute(
    world.db,
  )
  await shop.run()
  t.same(outcomes(await shop.executions()), ['completed/done', 'completed/done'])
})

t.test('events are left to the release that published a flow for them', async (t) => {
  const shop = await world.shop()
  const id = await shop.publish(under(NEWER, flowOf({ done: stop })))
  await shop.send('order.created', { id: 1 })
  await shop.run()
  t.same(await shop.executions(), [])
  await shop.publish(flowOf({ done: stop }), id)
  await shop.run()
  t.same(outcomes(await shop.executions()), ['completed/done'], 'none is lost')
})

t.test('a flow with a step of a newer release is left to that release', async (t) => {
  const shop = await world.shop()
  const definition = {
    name: 'Newer',
    status: 'active',
    trigger: { type: 'event', event_type: 'order.created' },
    steps: [
      { id: 'pause', type: 'delay', duration: '1 hour' },
      { id: 'far', type: 'stop', outcome: 'done' },
    ],
  }
  const publish = async (fields: object = {}) => {
    const created = await shop.tenant.post('/api/automation/flows', { ...definition, ...fields })
    t.equal(created.statusCode, 201, created.body)
    return created.json<{ id: string }>().id
  }
  const known = await publish({ trigger: { type: 'event', event_type: 'product.created' } })
  const { since } = stopStep
  Object.assign(stopStep, { since: NEWER })
  const newer = await publish().finally(() => Object.assign(stopStep, { since }))
  const stored = await sql<{ id: string; version: number }>`
    select flow_id as id, (flow ->> 'schema_version')::int as version from automation_flow_versions
    where flow_id in (${known}, ${newer})`.execute(world.db)
  t.same(Object.fromEntries(stored.rows.map(({ id, version }) => [id, version])), {
    [known]: 1,
    [newer]: NEWER,
  })
  await shop.send('order.created', { id: 1 })
  await shop.run()
  t.same(await shop.executions(), [], 'and so are the events of the tenant')
})

t.test(
  'what a flow that releases before may run starts is theirs as well, and of others it is not',
  async (t) => {
    const shop = await world.shop()
    const flow = flowOf({ pause: wait(MINUTE_MS, 'end') })
    const plain = await shop.publish(flow)
    const guarded = await shop.publish(under(2, flow))
    const simple = await schemaVersions(shop.tenant.id, async () => {
      await shop.send('order.created', { id: 1 })
      await shop.run()
    })
    t.same(simple, { [plain]: 1, [guarded]: 2 }, 'many are stored by one statement, and taken up')
    const keyed = flowOf(
      { pause: wait(MINUTE_MS, 'end') },
      { settings: settings({ enrolment: { key: 'x' } }) },
    )
    await shop.publish(keyed, plain)
    await shop.publish(under(2, keyed), guarded)
    const alone = await schemaVersions(shop.tenant.id, async () => {
      await shop.send('order.created', { id: 2 })
      await shop.match()
    })
    t.same(alone, { [plain]: 1, [guarded]: 2 }, 'and each by one of its own')
  },
)

async function schemaVersions(tenantId: string, doing: () => Promise<void>): Promise<Record<string, number>> {
  await sql`delete from automation_executions where tenant_id = ${tenantId}`.execute(world.db)
  await doing()
  const { rows } = await sql<{ flow_id: string; schema_version: number }>`
    select flow_id, schema_version from automation_executions where tenant_id = ${tenantId}`.execute(world.db)
  return Object.fromEntries(rows.map((row) => [row.flow_id, row.schema_version]))
}

t.test('a version of an older schema is compiled again', async (t) => {
  const shop = await world.shop()
  const definition = {
    name: 'Old',
    status: 'active',
    trigger: { type: 'event', event_type: 'order.created' },
    steps: [{ id: 'far', type: 'stop', config: { reason: 'there' } }],
  }
  const created = await shop.tenant.post('/api/automation/flows', definition)
  t.equal(created.statusCode, 201, created.body)
  const { id } = created.json<{ id: string }>()
  const old = under(OLDER, flowOf({ far: unknown({}) }, { triggers: [] }))
  const store = (text: string) =>
    sql`update automation_flow_versions set flow = ${JSON.stringify(old)}, definition = ${text}
      where flow_id = ${id}`.execute(world.db)
  await store(JSON.stringify(definition))
  await shop.send('order.created', { id: 1 })
  await shop.run()
  t.same(outcomes(await shop.executions()), ['completed/stopped'])
})

t.test('a version of an older schema that does not compile any more starts nothing', async (t) => {
  const shop = await world.shop()
  const id = await shop.publish(under(OLDER, flowOf({ done: stop })))
  await shop.publish(flowOf({ done: stop }))
  await shop.send('order.created', { id: 1 })
  await shop.run()
  t.same(outcomes(await shop.executions()), ['completed/done'], 'others of the tenant do')
  t.same(await shop.executions(id), [])
})
