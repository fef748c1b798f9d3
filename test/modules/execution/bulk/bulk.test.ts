import { sql } from 'kysely'
import t from 'tap'
import { type CanonicalFlow, FLOW_SCHEMA_VERSION, OLDEST_FLOW_SCHEMA_VERSION } from '#lib/flow/types.ts'
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
import { latest, listed, read, refusal, seedExecutions } from '../support.ts'

const world = await startWorld(t)

const { app } = world
const worker = { db: app.db, flowEngine: app.flowEngine, signals: app.signals, leaseMs: 30_000, log: app.log }

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
  const log = await shop.tenant.get('/api/audit-log?action=executions.cancelled')
  t.match(log.json(), { data: [{ detail: { by_key: true } }] })
  t.notMatch(log.body, /ada/, 'a key may be an address, and no erasure goes through the audit log')
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

t.test('a version that does not compile any more is a refusal, and holds up no other retry', async (t) => {
  const shop = await world.shop()
  const { id: tenantId } = shop.tenant
  const receiver = await startReceiver(t)
  const flow = flowOf({ call: post(receiver, '/a', 'end') })
  const old = { ...flow, schema_version: OLDEST_FLOW_SCHEMA_VERSION - 1 } as unknown as CanonicalFlow
  const outdated = await shop.publish(old)
  const [first = ''] = await seedExecutions(shop.db, tenantId, outdated, [{ status: 'failed' }])
  const good = await shop.publish(flow)
  await seedExecutions(shop.db, tenantId, good, [{ status: 'failed' }, { status: 'failed' }])
  t.equal(await refusal(shop, first), '409 flow_outdated')
  const { job_id } = await retryMany(worker, SYSTEM_ACTOR, tenantId, { flow: outdated }, { workMs: -1 })
  await workOff()
  const job = await shop.tenant.get(`/api/automation/bulk-changes/${job_id ?? ''}`)
  t.match(job.json(), { status: 'completed', done: 0, refused: [{ reason: 'flow_outdated', count: 1 }] })
  t.match(await bulk(shop, 'retry', {}), {
    retried: 2,
    refused: [{ reason: 'flow_outdated', count: 1 }],
    next_cursor: null,
  })
})

t.test('a retry that breaks off ends its job, and what had started by then goes on', async (t) => {
  const shop = await world.shop()
  const { id: tenantId } = shop.tenant
  const receiver = await startReceiver(t)
  const flow = await shop.publish(flowOf({ call: post(receiver, '/a', 'end') }))
  const rows = Array.from({ length: 3 }, () => ({ status: 'failed' as const }))
  const [, , last = ''] = await seedExecutions(shop.db, tenantId, flow, rows)
  await sql`
    create function refuse_retry() returns trigger language plpgsql as $$
    begin
      raise exception 'no' using errcode = '22023';
    end $$`.execute(shop.db)
  await sql`create trigger refuse_retry before insert on automation_executions
    for each row when (new.retry_of = '${sql.raw(last)}') execute function refuse_retry()`.execute(shop.db)
  t.teardown(() => sql`drop function refuse_retry cascade`.execute(shop.db))
  const { job_id } = await retryMany(worker, SYSTEM_ACTOR, tenantId, { flow }, { workMs: -1 })
  await workOff()
  const job = await shop.tenant.get(`/api/automation/bulk-changes/${job_id ?? ''}`)
  const started = (await listed(shop, '?status=queued')).length
  t.match(job.json(), {
    status: 'failed',
    done: started,
    error: 'The database refused it (SQLSTATE 22023).',
    finished_at: String,
  })
  t.equal(started, 2)
})

t.test('a job waits with what the quota refuses, and retries it once the quota allows it', async (t) => {
  const shop = await world.shop()
  const { id: tenantId } = shop.tenant
  const receiver = await startReceiver(t)
  const gone = await shop.publish(flowOf({ call: post(receiver, '/a', 'end') }))
  await seedExecutions(shop.db, tenantId, gone, [{ status: 'failed' }])
  await sql`update automation_flows set deleted_at = now() where id = ${gone}`.execute(shop.db)
  const flow = await shop.publish(flowOf({ call: post(receiver, '/a', 'end') }))
  await seedExecutions(shop.db, tenantId, flow, Array(20).fill({ status: 'failed' }))
  t.equal((await shop.tenant.put('/api/tenant/quotas', { waiting_executions: 2 })).statusCode, 200)
  const { job_id } = await retryMany(worker, SYSTEM_ACTOR, tenantId, {}, { workMs: -1 })
  const read = async () =>
    (await shop.tenant.get(`/api/automation/bulk-changes/${job_id ?? ''}`)).json<{
      status: string
      done: number
      refused: object[]
    }>()
  const turn = await runBulkTurn(worker)
  t.match(turn, { pauseMs: Number })
  t.equal(await runBulkTurn(worker), 'idle', 'others have their turn')
  const held = await read()
  t.match(held, { status: 'running', refused: [{ reason: 'flow_deleted', count: 1 }] })
  t.ok(held.done > 0 && held.done < 20, `${held.done} have started`)
  t.equal(held.refused.length, 1)

  // A process counts again a second after it found the quota used up.
  const deadline = Date.now() + 60_000
  while ((await read()).status === 'running' && Date.now() < deadline) {
    await shop.run()
    await sql`update bulk_changes set lease_until = null where id = ${job_id}`.execute(shop.db)
    await runBulkTurn(worker)
  }
  t.match(await read(), { status: 'completed', done: 20, refused: [{ reason: 'flow_deleted', count: 1 }] })
  await shop.run()
  t.equal(receiver.received.length, 20, 'each once')
})

t.test('a request that breaks off tells of what has started', async (t) => {
  const shop = await world.shop()
  const { id: tenantId } = shop.tenant
  const receiver = await startReceiver(t)
  const flow = flowOf({ call: post(receiver, '/a', 'end') })
  const good = await shop.publish(flow)
  await seedExecutions(shop.db, tenantId, good, Array(100).fill({ status: 'failed' }))
  const newer = { ...flow, schema_version: FLOW_SCHEMA_VERSION + 1 } as unknown as CanonicalFlow
  await seedExecutions(shop.db, tenantId, await shop.publish(newer), [{ status: 'failed' }])
  const published: unknown[] = []
  const signals = { publish: (...told: unknown[]) => void published.push(told) }
  const asked = retryMany({ ...worker, signals }, SYSTEM_ACTOR, tenantId, {}, { workMs: 60_000 })
  await t.rejects(asked, { code: 'flow_newer' })
  t.strictSame(published, [['executions_due', [tenantId]]])
  t.equal((await listed(shop, '?status=queued&limit=200')).length, 100)
})

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
    // A start by hand was answered: it is not taken up.
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
