import t from 'tap'
import { flowOf, HOUR_MS, startWorld, wait } from '#test/modules/flow-engine/support.ts'
import { seedExecutions } from '../support.ts'

const world = await startWorld(t)
const DAY = 24 * HOUR_MS
const today = Math.floor(Date.now() / DAY) * DAY
const dayText = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

t.test("a flow's executions are counted by day, with how long they took", async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const other = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const at = new Date(today + 1)
  const lasting = (ms: number) => ({ created_at: at, finished_at: new Date(at.getTime() + ms) })
  await seedExecutions(shop.db, shop.tenant.id, flow, [
    { status: 'completed', reason: 'done', ...lasting(100) },
    { status: 'completed', reason: 'filtered', ...lasting(200) },
    { status: 'failed', ...lasting(300) },
    { status: 'cancelled', ...lasting(999_999) },
    { status: 'skipped', reason: 'already_active', ...lasting(0) },
    { status: 'waiting', created_at: at },
  ])
  await seedExecutions(shop.db, shop.tenant.id, other, [{ status: 'failed', ...lasting(5) }])
  const answer = await shop.tenant.get(`/api/automation/flows/${flow}/stats`)
  const stats = answer.json<{ days: { day: string }[] }>()
  t.match(stats, { flow_id: flow, until: dayText(today), since: dayText(today - 29 * DAY), complete: true })
  t.equal(stats.days.length, 30)
  const counts = {
    started: 5,
    active: 1,
    completed: 2,
    filtered: 1,
    failed: 1,
    handled: 0,
    cancelled: 1,
    timed_out: 0,
    skipped: 1,
  }
  t.strictSame(stats.days[0], { day: dayText(today), ...counts, p50_ms: 200, p95_ms: 290, sampled: false })
  t.match(stats, { totals: counts })
  t.match(stats.days[1], { started: 0, p50_ms: null, p95_ms: null })
})

t.test('a range is bounded, in order and of one flow of the tenant', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const url = `/api/automation/flows/${flow}/stats`
  t.equal(
    (await shop.tenant.get(`${url}?since=2026-01-01&until=2026-01-03`)).json<{ days: [] }>().days.length,
    3,
  )
  t.equal((await shop.tenant.get(`${url}?since=2026-01-01&until=2026-04-02`)).statusCode, 200, '92 days')
  for (const query of [
    'since=2026-01-01&until=2026-04-03',
    'since=2026-01-02&until=2026-01-01',
    'since=2026-02-31',
    'since=yesterday',
    'since=1970-01-01&until=1970-01-01',
  ]) {
    t.equal((await shop.tenant.get(`${url}?${query}`)).statusCode, 400, query)
  }
  const stranger = await world.shop()
  t.match((await stranger.tenant.get(url)).json(), { status: 404, code: 'flow_not_found' })
})
