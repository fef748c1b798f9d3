import { sql } from 'kysely'
import t from 'tap'
import { selectHeldQueues, selectHeldTargets } from '#modules/flow-engine/index.ts'
import type { Overview } from '#modules/stats/overview-schemas.ts'
import {
  flowOf,
  HOUR_MS,
  MINUTE_MS,
  post,
  registerMailer,
  type Shop,
  startReceiver,
  startWorld,
  step,
} from '#test/modules/flow-engine/support.ts'
import { analyze, rowsRead } from '#test/support/plans.ts'
import { listed, read, seedExecutions } from '../support.ts'

const world = await startWorld(t)
const RETRY = { max_retries: 3, patience_ms: 12 * HOUR_MS, base_ms: 5_000, cap_ms: 15 * MINUTE_MS }
const TRIES_AT = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/

const attentionOf = async (shop: Shop): Promise<Overview['attention']> =>
  (await shop.tenant.get('/api/overview')).json<Overview>().attention

/** As if they had come to their calls earlier. */
async function age(shop: Shop, interval: string): Promise<void> {
  await sql`update automation_executions set created_at = created_at - ${interval}::interval
    where tenant_id = ${shop.tenant.id}`.execute(shop.db)
}

t.test('each run that is held back says by whom, what was answered and who tries when', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(503)
  const call = { ...post(receiver, '/bad', 'end'), retry: RETRY }
  const well = { ...post(receiver, '/well', 'end'), retry: RETRY }
  const flow = await shop.publish(flowOf({ call }))
  await shop.send('order.created', {})
  await shop.run()
  // Of the same host, though of another path that would answer.
  const other = await shop.publish(flowOf({ call: well }))
  await shop.send('order.created', {})
  await shop.run()
  const [first] = await shop.executions(flow)
  const held = {
    type: 'origin',
    name: receiver.url,
    plugin: null,
    action_type: null,
    first: {
      id: first?.id,
      tries_at: TRIES_AT,
      error: { code: 'http_5xx', message: 'The answer was 503' },
    },
  }
  const runs = await listed(shop, '?status=waiting&reason=retry')
  t.equal(runs.length, 3)
  for (const run of runs) t.match(run.held_back, held)
  t.equal(receiver.received.length, 1, 'the others did not call')
  const [healthy] = await shop.executions(other)
  t.match((await read(shop, healthy?.id ?? '')).held_back, held)
  t.match((await read(shop, first?.id ?? '')).held_back, held, 'the first one says when it tries itself')

  t.strictSame(await attentionOf(shop), [], 'not within the minute in which it is tried again')
  await age(shop, '2 minutes')
  await shop.tenant.post('/api/automation/resume', {})
  await shop.tenant.post('/api/automation/halt')
  const [, told] = await attentionOf(shop)
  t.match(told, {
    kind: 'executions_held',
    target: { type: 'origin', id: null, slug: null, name: receiver.url },
    reason: 'http_5xx',
    count: 3,
    links: { execution: `/api/automation/executions/${first?.id}` },
  })
  for (const link of Object.values(told?.links ?? {})) t.equal((await shop.tenant.get(link)).statusCode, 200)
  await shop.tenant.post('/api/automation/resume', {})

  await world.app.flowEngine.cancel(shop.tenant.id, [first?.id ?? ''], 'test')
  t.equal((await read(shop, first?.id ?? '')).held_back, null)
  const left = await listed(shop, '?status=waiting')
  const [next] = left.flatMap(({ held_back }) => (held_back === null ? [] : [held_back.first]))
  t.ok(left.some(({ id }) => id === next?.id))
  for (const { held_back } of left)
    t.match(held_back, { first: { id: next?.id, error: null } }, 'not tried yet')

  receiver.answer(200)
  for (let pass = 0; pass < 4; pass++) {
    shop.pass(5 * MINUTE_MS)
    await shop.run()
  }
  const done = await listed(shop, '?status=completed')
  t.strictSame(
    done.map(({ held_back }) => held_back),
    [null, null],
  )
})

t.test('a plugin that is paused is told by its name', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const id = await registerMailer(shop, receiver)
  const config = { action_type: 'send_welcome_email', plugin_id: id, input: { to: 'a@b.c', template: 'hi' } }
  const call = step({ type: 'action', config, next: { success: 'end' }, retry: RETRY })
  await shop.publish(flowOf({ call }))
  await shop.tenant.post('/api/plugins/mailer/pause')
  for (let n = 0; n < 2; n++) await shop.send('order.created', {})
  await shop.run()
  const runs = await listed(shop, '?status=waiting')
  t.equal(runs.length, 2)
  for (const { held_back } of runs) {
    t.match(held_back, {
      type: 'plugin',
      name: 'mailer',
      plugin: 'mailer',
      action_type: 'send_welcome_email',
      first: { id: runs.at(-1)?.id, error: { code: 'plugin_inactive' } },
    })
  }
  await age(shop, '2 minutes')
  await shop.tenant.post('/api/automation/halt')
  const told = (await attentionOf(shop)).find(({ kind }) => kind === 'executions_held')
  t.match(told, {
    target: { type: 'plugin', id, slug: 'mailer', name: 'mailer' },
    reason: 'plugin_inactive',
    count: 2,
    links: { plugin: '/api/plugins/mailer' },
  })
})

t.test('who waits for whom is found by few rows, however many wait', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ call: post(await startReceiver(t), '/', 'end') }))
  const rows = Array.from({ length: 1_000 }, () => ({ status: 'waiting' as const, reason: 'retry' }))
  for (let n = 0; n < 6; n++) await seedExecutions(shop.db, shop.tenant.id, flow, rows)
  await sql`update automation_executions set held_by = 'https://' || (random() * 2)::int, state = '{"main":{}}',
      created_at = now() - interval '1 hour' where tenant_id = ${shop.tenant.id}`.execute(shop.db)
  await analyze(shop.db, 'automation_executions')
  const targets = await rowsRead(world.app.pools.api, async (db) => {
    const found = await selectHeldTargets(db, shop.tenant.id, ['https://0', 'https://1', 'https://9'])
    t.strictSame(
      found.map(({ name }) => name),
      ['https://0', 'https://1'],
    )
  })
  t.ok(Math.max(...targets) < 50, targets.join())
  const queues = await rowsRead(world.app.pools.api, async (db) => {
    const limits = { olderThanMs: MINUTE_MS, targets: 2, waiting: 100 }
    const found = await selectHeldQueues(db, shop.tenant.id, limits)
    t.strictSame(
      found.map(({ waiting }) => waiting),
      [100, 100],
    )
  })
  t.ok(Math.max(...queues) < 400, queues.join())
})
