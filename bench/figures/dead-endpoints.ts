import { findFreePort } from '#tools/embedded-postgres/postmaster.ts'
import type { Commands as Steady } from '../processes/steady.ts'
import { CpuMeter } from '../support/cpu-meter.ts'
import type { Figure, Row } from '../support/figure.ts'
import { bodyOf, seedPlugins, seedQueue, setStatus } from '../support/seed.ts'
import { measureSteadily } from '../support/steady-run.ts'

const PER_SECOND = 100
const WAITING_EACH = 5

export const deadEndpoints: Figure = {
  name: 'dead-endpoints',
  title: 'Dead endpoints beside live ones',
  about: `5,000 dead endpoints (half refuse, half never answer within the default 10 s) with ${WAITING_EACH} deliveries waiting each, beside 50 live ones that get ${PER_SECOND} events a second: the live ones' time from request to arrival. Ceiling: the same before the dead backlog is released.`,
  async measure(stage) {
    const dead = stage.pick(5_000, 200)
    const live = stage.pick(50, 10)
    const tenantId = crypto.randomUUID()
    const deadTenantId = crypto.randomUUID()
    const database = await stage.database()
    const receiver = await stage.receiver()
    const hanging = await stage.receiver()
    const refusing = `http://127.0.0.1:${await findFreePort()}/`
    const { masterKey } = stage.bed
    await seedPlugins(database.pool, {
      masterKey,
      tenantId,
      plugins: Array.from({ length: live }, (_, n) => ({
        url: `${receiver.url}/latency/live`,
        event: `live.n${n}`,
      })),
    })
    const deadPlugins = await seedPlugins(database.pool, {
      masterKey,
      tenantId: deadTenantId,
      plugins: Array.from({ length: dead }, (_, n) => ({
        url: n % 2 === 0 ? refusing : `${hanging.url}/hang`,
        event: 'bench.seeded',
      })),
      status: 'paused',
    })
    await seedQueue(database.pool, {
      tenantId: deadTenantId,
      plugins: deadPlugins,
      events: WAITING_EACH,
      fanOut: dead,
      body: bodyOf(deadTenantId, 300),
    })
    const service = await stage.service({ databaseUrl: database.url, roles: 'api,worker' })
    const steady = await stage.helper<Steady>('steady')
    const measure = (seconds: number) =>
      measureSteadily({
        steady,
        receiver,
        pool: database.pool,
        group: 'live',
        load: {
          url: `${service.url}/api/events`,
          senders: Array.from({ length: live }, (_, n) => ({
            headers: stage.headers(tenantId),
            event: `live.n${n}`,
          })),
          perSecond: PER_SECOND,
          seconds,
        },
      })
    await measure(stage.pick(2, 0.5))
    const before = await measure(stage.pick(5, 1))
    const cpu = new CpuMeter(stage.bed, { service: service.pid })
    await setStatus(database.pool, deadPlugins, 'active')
    stage.say(`${dead} dead plugins released`)
    const seconds = stage.pick(30, 4)
    const beside = await cpu.during(
      () => measure(seconds),
      () => seconds,
    )
    const { rows } = await database.pool.query<{ attempts: number; fewest: number }>(
      `select (select count(*)::int from delivery_attempts a join deliveries d on d.tenant_id = a.tenant_id
                 and d.id = a.delivery_id where d.tenant_id = $1) as attempts,
         (select min(waiting)::int from (select count(*) as waiting from deliveries
            where tenant_id = $1 and status in ('pending', 'retry') group by plugin_id) each) as fewest`,
      [deadTenantId],
    )
    const detail = {
      failed_attempts: rows[0]?.attempts,
      fewest_waiting_at_the_end: rows[0]?.fewest,
      cpu_micros_a_second: cpu.costs(),
    }
    return (['p50', 'p99'] as const).map((p): Row => ({
      name: `live ones beside ${dead.toLocaleString('en')} dead, ${p}`,
      ours: beside[p],
      ceiling: before[p],
      unit: 'ms',
      target: p === 'p99' ? { of: 'ours', atMost: 2_000 } : null,
      detail,
    }))
  },
}
