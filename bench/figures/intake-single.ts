import type { Commands as BareRoute } from '../processes/bare-route.ts'
import type { Commands as Requester, RequestLoad } from '../processes/requester.ts'
import { CpuMeter } from '../support/cpu-meter.ts'
import { type Figure, interleave, rowOf } from '../support/figure.ts'
import type { Helper } from '../support/ipc.ts'
import { seedPlugins } from '../support/seed.ts'

const CONNECTIONS = 64
const BODY_BYTES = 300

export const intakeSingle: Figure = {
  name: 'intake-single',
  title: 'Intake, one event a request',
  about: `\`POST /api/events\` of ${BODY_BYTES} bytes over ${CONNECTIONS} keep-alive connections, one plugin subscribed, answered after the flushed commit (\`ROLES=api\`). Ceiling: a bare Fastify route that reads the same JSON and stores nothing.`,
  async measure(stage) {
    const seconds = stage.pick(4, 0.7)
    const rounds = stage.pick(3, 1)
    const tenantId = crypto.randomUUID()
    const database = await stage.database()
    await seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: [{ url: 'http://127.0.0.1:9/', event: 'product.updated' }],
    })
    const service = await stage.service({ databaseUrl: database.url, roles: 'api' })
    const bare = await stage.helper<BareRoute>('bare-route')
    const bareUrl = await bare.call('listen', null)
    const requester = await stage.helper<Requester>('requester')
    const load = (url: string, forSeconds: number) => ({
      url: `${url}/api/events`,
      headers: stage.headers(tenantId),
      body: eventOf(BODY_BYTES),
      connections: CONNECTIONS,
      seconds: forSeconds,
    })
    const warmUp = stage.pick(2, 0.5)
    await rate(requester, load(service.url, warmUp))
    await rate(requester, load(bareUrl, warmUp))
    const oursCpu = new CpuMeter(stage.bed, { api: service.pid, load: requester.pid })
    const ceilingCpu = new CpuMeter(stage.bed, { route: bare.pid, load: requester.pid })
    const itemsOf = (perSecond: number): number => perSecond * seconds
    const measured = await interleave(stage, rounds, {
      ceiling: () => ceilingCpu.during(() => rate(requester, load(bareUrl, seconds)), itemsOf),
      ours: () => oursCpu.during(() => rate(requester, load(service.url, seconds)), itemsOf),
    })
    return [
      rowOf(measured, {
        name: 'intake, one event a request',
        unit: 'events/s',
        target: { of: 'ratio', atLeast: 0.35 },
        cpu: { ours: oursCpu.costs(), ceiling: ceilingCpu.costs() },
      }),
    ]
  },
}

/** An event as a caller sends it, so that all of it has about `bytes`. */
export function eventOf(bytes: number): string {
  const of = (text: string): string =>
    JSON.stringify({
      event: 'product.updated',
      data: { product_id: 4711, name: 'Linen apron', price: 1999, text },
    })
  return of('x'.repeat(Math.max(0, bytes - of('').length)))
}

/** Accepted requests per second. @throws when something was refused: that is not the load that was meant */
export async function rate(requester: Helper<Requester>, load: RequestLoad): Promise<number> {
  const { perSecond, refused } = await requester.call('run', load)
  if (Object.keys(refused).length > 0) throw new Error(`requests were refused: ${JSON.stringify(refused)}`)
  return perSecond
}
