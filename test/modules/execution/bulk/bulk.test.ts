import t from 'tap'
import { cancelMany, retryMany } from '#modules/execution/bulk/service.ts'
import { runBulkTurn } from '#modules/execution/bulk/worker.ts'
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

const { app } = world
const worker = { db: app.db, flowEngine: app.flowEngine, signals: app.signals, leaseMs: 30_000 }

/** As workers would. */
async function workOff(): Promise<void> {
  while ((await runBulkTurn(worker)) === 'more');
}

interface BulkAnswer {
  job_id: string | null
  cancelled?: number
  retried?: number
  remaining: number
  next_cursor?: string | null
}

async function bulk(shop: Shop, what: 'cancel' | 'retry', body: object): Promise<BulkAnswer> {
  const answer = await shop.tenant.post(`/api/automation/executions/${what}`, body)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  const result = answer.json<BulkAnswer>()
  if (result.job_id === null) return result
  // The machine was slow: a job does the rest.
  await workOff()
  const job = await shop.tenant.get(`/api/automation/bulk-changes/${result.job_id}`)
  const { done, refused } = job.json<{ done: number; refused: object[] }>()
  const sum = (count = 0): number => count + done
  return {
    ...result,
    ...(what === 'cancel' ? { cancelled: sum(result.cancelled) } : { retried: sum(result.retried) }),
    ...(refused.length > 0 && { refused }),
    remaining: 0,
    job_id: null,
  }
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
  t.match(await bulk(shop, 'cancel', { key: 'ada', dry_run: true }), { cancelled: 0, remaining: 1_200 })
  t.match(await bulk(shop, 'cancel', { key: 'ada', status: ['queued'] }), { cancelled: 0, remaining: 0 })
  t.match(await bulk(shop, 'cancel', { key: 'ada' }), { cancelled: 1_200, remaining: 0 })
  t.match(await bulk(shop, 'cancel', { key: 'ada' }), { cancelled: 0, remaining: 0 }, 'again is nothing')
  t.equal((await listed(shop, '?status=waiting')).length, 1)
  t.equal((await listed(other, '?status=waiting')).length, 1)
  const [cancelled] = await listed(shop, '?status=cancelled')
  t.match(cancelled, { reason: 'requested', finished_at: String })
})

t.test('what does not get done in time is left to a job, which says how far it is', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const rows = Array.from({ length: 1_700 }, () => ({ status: 'waiting' as const }))
  await seedExecutions(shop.db, shop.tenant.id, flow, rows)
  const { id: tenantId } = shop.tenant
  const result = await cancelMany(worker, SYSTEM_ACTOR, tenantId, { flow }, { workMs: -1 })
  t.match(result, { cancelled: 0, remaining: 1_700, job_id: String })
  const [late] = await seedExecutions(shop.db, tenantId, flow, [{ status: 'waiting' }])
  const job = `/api/automation/bulk-changes/${result.job_id ?? ''}`
  t.match((await shop.tenant.get(job)).json(), { kind: 'cancel', status: 'queued', done: 0, refused: [] })
  t.equal((await world.tenant().get(job)).json<{ code: string }>().code, 'bulk_change_not_found')

  // A worker that dies after its first batch.
  const stop = new AbortController()
  const dying = {
    ...worker,
    leaseMs: 0,
    flowEngine: { ...worker.flowEngine, countCancelled: () => stop.abort() },
  }
  await runBulkTurn(dying, stop.signal)
  t.match((await shop.tenant.get(job)).json(), { status: 'running', done: 500 })
  await workOff()
  t.match((await shop.tenant.get(job)).json(), { status: 'completed', done: 1_700, finished_at: String })
  t.strictSame(
    (await listed(shop, '?status=waiting')).map(({ id }) => id),
    [late],
    'what has come since is no business of it',
  )
  t.match((await shop.tenant.get('/api/automation/bulk-changes')).json(), {
    data: [{ id: result.job_id }],
    next_cursor: null,
  })
  const again = await shop.tenant.post(`${job}/cancel`)
  t.match(again.json(), { status: 409, code: 'bulk_change_finished' })
})

t.test('a retry goes on behind its answer as well, and can be stopped', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(flowOf({ call: post(receiver, '/a', 'end') }))
  const rows = Array.from({ length: 250 }, () => ({ status: 'failed' as const }))
  const ids = await seedExecutions(shop.db, shop.tenant.id, flow, rows)
  const { id: tenantId } = shop.tenant
  const leave = () => retryMany(worker, SYSTEM_ACTOR, tenantId, { flow }, { workMs: -1 })
  const stopped = await leave()
  const url = `/api/automation/bulk-changes/${stopped.job_id ?? ''}/cancel`
  t.match((await shop.tenant.post(url)).json(), { status: 'cancelled', done: 0 })
  t.match((await shop.tenant.post(url)).json(), { status: 'cancelled' }, 'again')
  await workOff()
  t.equal((await listed(shop, '?status=queued')).length, 0)

  const { job_id, next_cursor } = await leave()
  t.equal(next_cursor, null, 'nobody has to call again')
  await workOff()
  const job = (await shop.tenant.get(`/api/automation/bulk-changes/${job_id ?? ''}`)).json<object>()
  t.match(job, { kind: 'retry', status: 'completed', done: 250, refused: [] })
  await shop.run()
  t.equal(receiver.received.length, 250)
  t.equal((await shop.executions(flow)).length, ids.length * 2)
})

t.test('of ten open ones the eleventh is left to who asks again', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  await seedExecutions(shop.db, shop.tenant.id, flow, [{ status: 'waiting' }])
  const leave = () => cancelMany(worker, SYSTEM_ACTOR, shop.tenant.id, { flow }, { workMs: -1 })
  for (let open = 0; open < 10; open++) t.type((await leave()).job_id, 'string')
  t.match(await leave(), { remaining: 1, job_id: null })
  await workOff()
  t.match(await leave(), { remaining: 0, job_id: null })
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
