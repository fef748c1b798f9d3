import t from 'tap'
import { cancelMany } from '#modules/execution/bulk/service.ts'
import { SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import { clientFor } from '#test/support/app.ts'
import {
  flowOf,
  HOUR_MS,
  outcomes,
  post,
  type Shop,
  startReceiver,
  startWorld,
  wait,
} from '#test/modules/flow-engine/support.ts'
import { latest, listed, read, seedExecutions } from '../support.ts'

const world = await startWorld(t)

interface BulkAnswer {
  retried?: number
  remaining: number
  next_cursor?: string | null
}

async function bulk(shop: Shop, what: 'cancel' | 'retry', body: object): Promise<BulkAnswer> {
  const answer = await shop.tenant.post(`/api/automation/executions/${what}`, body)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json<BulkAnswer>()
}

t.test('a filter cancels what it chooses and nothing else; a dry run counts', async (t) => {
  const [shop, other] = [await world.shop(), await world.shop()]
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const rows = Array.from({ length: 1_200 }, () => ({ status: 'waiting' as const, key: 'ada' }))
  await seedExecutions(shop.db, shop.tenant.id, flow, [
    ...rows,
    { status: 'waiting' },
    { status: 'completed' },
  ])
  const theirs = await other.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  await seedExecutions(shop.db, other.tenant.id, theirs, [{ status: 'waiting', key: 'ada' }])
  t.strictSame(await bulk(shop, 'cancel', { key: 'ada', dry_run: true }), { cancelled: 0, remaining: 1_200 })
  t.strictSame(await bulk(shop, 'cancel', { key: 'ada', status: ['queued'] }), { cancelled: 0, remaining: 0 })
  t.strictSame(await bulk(shop, 'cancel', { key: 'ada' }), { cancelled: 1_200, remaining: 0 })
  t.strictSame(await bulk(shop, 'cancel', { key: 'ada' }), { cancelled: 0, remaining: 0 }, 'again is nothing')
  t.equal((await listed(shop, '?status=waiting')).length, 1)
  t.equal((await listed(other, '?status=waiting')).length, 1)
  const [cancelled] = await listed(shop, '?status=cancelled')
  t.match(cancelled, { reason: 'requested', finished_at: String })
})

t.test('what does not get done in time is left, and calling again goes on', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  await seedExecutions(
    shop.db,
    shop.tenant.id,
    flow,
    Array.from({ length: 700 }, () => ({ status: 'waiting' as const })),
  )
  const ctx = { db: world.app.db, flowEngine: world.app.flowEngine }
  let calls = 0
  let remaining: number
  do {
    const result = await cancelMany(ctx, SYSTEM_ACTOR, shop.tenant.id, {}, { workMs: 1 })
    t.ok(result.cancelled <= 500, 'one batch at a time')
    remaining = result.remaining
    calls++
  } while (remaining > 0)
  t.equal(calls, 2)
  t.equal((await listed(shop, '?status=waiting')).length, 0)
})

t.test('what runs is cancelled at its next step, and is told to be', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({ call: post(receiver, '/a', 'then'), then: post(receiver, '/b', 'end') }),
  )
  let release = (): void => undefined
  receiver.answer((_received, response) => {
    release = () => response.writeHead(200).end()
  })
  await shop.send('order.created', {})
  const running = shop.run()
  await receiver.waitFor(1)
  t.match(await bulk(shop, 'cancel', { flow }), { cancelled: 1, remaining: 0 })
  const { id } = await latest(shop)
  t.match(await read(shop, id), { status: 'running', cancel_requested: true })
  release()
  await running
  t.match(await read(shop, id), { status: 'cancelled', cancel_requested: false, step_count: 1 })
  t.equal(receiver.received.length, 1)
})

t.test(
  'all that failed is retried once, whatever becomes of it; what cannot be is counted by why',
  async (t) => {
    const shop = await world.shop()
    const receiver = await startReceiver(t)
    const flow = await shop.publish(flowOf({ call: post(receiver, '/a', 'end') }))
    const rows = Array.from({ length: 150 }, () => ({ status: 'failed' as const }))
    const ids = await seedExecutions(shop.db, shop.tenant.id, flow, [...rows, { status: 'completed' }])
    const gone = await shop.publish(flowOf({ call: post(receiver, '/a', 'end') }))
    await seedExecutions(shop.db, shop.tenant.id, gone, [{ status: 'failed' }])
    await shop.db
      .updateTable('automation_flows')
      .set({ deleted_at: new Date() })
      .where('id', '=', gone)
      .execute()
    t.match(await bulk(shop, 'retry', { dry_run: true }), { retried: 0, remaining: 151 })
    let retried = 0
    let body: { cursor?: string } = {}
    for (;;) {
      const result = await bulk(shop, 'retry', body)
      retried += Number(result.retried)
      if (result.next_cursor === undefined || result.next_cursor === null) {
        t.match(result, { refused: [{ reason: 'flow_deleted', count: 1 }], remaining: 0 })
        break
      }
      body = { cursor: result.next_cursor }
    }
    t.equal(retried, 150)
    t.match(await bulk(shop, 'retry', {}), { retried: 0, remaining: 0 })
    const copies = await listed(shop, '?status=queued&limit=200')
    t.strictSame(copies.map(({ retry_of }) => retry_of).sort(), ids.slice(0, 150))
    await shop.run()
    t.equal(receiver.received.length, 150)
  },
)

t.test('one switch stops all automations, and another lets them go on', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(flowOf({ call: post(receiver, '/a', 'end') }))
  t.match((await shop.tenant.get('/api/automation/halt')).json(), { halted: false, halted_at: null })
  await seedExecutions(shop.db, shop.tenant.id, flow, [{ status: 'queued' }, { status: 'failed' }])
  const halted = await shop.tenant.post('/api/automation/halt')
  t.match(halted.json(), { halted: true, halted_at: String, cancelled: 1, complete: true })
  t.match((await shop.tenant.post('/api/automation/halt')).json(), {
    halted_at: halted.json<{ halted_at: string }>().halted_at,
    cancelled: 0,
  })
  t.match((await shop.tenant.get('/api/automation/halt')).json(), { halted: true })
  const [failed] = await listed(shop, '?status=failed')
  const refused = await shop.tenant.post(`/api/automation/executions/${failed?.id ?? ''}/retry`, {})
  t.match(refused.json(), { status: 409, code: 'automations_halted' })
  t.match(await bulk(shop, 'retry', {}), { retried: 0, refused: [{ reason: 'halted', count: 1 }] })
  await shop.send('order.created', {})
  await shop.run()
  t.equal(receiver.received.length, 0)
  t.match((await shop.tenant.post('/api/automation/resume')).json(), {
    halted: false,
    halted_at: null,
    missed: 1,
    taken_up: 1,
  })
  await shop.send('order.created', {})
  await shop.run()
  t.strictSame(outcomes(await shop.executions()).sort(), [
    // What somebody started by hand was answered: it is not taken up.
    'cancelled/halted',
    'completed/done',
    'completed/done',
    'failed',
  ])
  const log = await shop.tenant.get('/api/audit-log')
  const actions = log.json<{ data: { action: string }[] }>().data.map(({ action }) => action)
  t.strictSame(
    actions.filter((action) => action.startsWith('automations.')),
    ['automations.resumed', 'automations.halted'],
  )
})

t.test('a tenant that never had an automation can be halted', async (t) => {
  const tenant = world.tenant()
  t.match((await tenant.post('/api/automation/halt')).json(), { halted: true, cancelled: 0 })
  t.match((await tenant.get('/api/automation/halt')).json(), { halted: true })
})

t.test('viewers read, editors cancel and retry, admins halt', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const [waiting = '', failed = ''] = await seedExecutions(shop.db, shop.tenant.id, flow, [
    { status: 'waiting' },
    { status: 'completed' },
  ])
  const as = async (role: string) => {
    const made = await shop.tenant.post('/api/keys', { name: role, kind: 'tenant', role })
    return clientFor(world.app, shop.tenant.id, made.json<{ key: string }>().key)
  }
  const [viewer, editor, admin] = [await as('viewer'), await as('editor'), await as('admin')]
  const path = '/api/automation/executions'
  for (const url of [
    path,
    `${path}/${waiting}`,
    '/api/automation/halt',
    `/api/automation/flows/${flow}/stats`,
  ]) {
    t.equal((await viewer.get(url)).statusCode, 200, url)
  }
  for (const url of [
    `${path}/${waiting}/cancel`,
    `${path}/${failed}/retry`,
    `${path}/cancel`,
    `${path}/retry`,
  ]) {
    const body = url.endsWith(`${waiting}/cancel`) ? undefined : { from: 'start' }
    const sent = url === `${path}/cancel` ? {} : body
    t.equal((await viewer.post(url, sent)).statusCode, 403, url)
    t.ok((await editor.post(url, sent)).statusCode < 300, url)
  }
  for (const url of ['/api/automation/halt', '/api/automation/resume']) {
    t.equal((await editor.post(url)).statusCode, 403, url)
    t.equal((await admin.post(url)).statusCode, 200, url)
  }
})
