import t from 'tap'
import type { RecoveredPlugin, Recovery } from '#modules/replay/recovery/schemas.ts'
import { hoursAgo, seedEvent } from '#test/modules/replay/support.ts'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { eventually, registerPlugin, statusesOf } from '#test/support/deliveries.ts'
import { TEST_MASTER_KEY } from '#test/support/service-process.ts'
import { startCountingReceiver } from './counting-receiver.ts'
import { startWorkers } from './workers.ts'

t.setTimeout(300_000)

const WORKERS = 4
const TENANTS = 2
const PLUGINS = 2
const EVENTS = 300
const TOTAL = TENANTS * PLUGINS * EVENTS
/** The shares of the deliveries that have arrived when a worker is killed. */
const KILLED_AT = [0.05, 0.5]
const PATIENCE_MS = 180_000

t.test(
  'four workers of which two are killed recover all tenants: every event arrives at every plugin',
  async (t) => {
    const api = await startApp(t, { env: { MASTER_KEY: TEST_MASTER_KEY } })
    const { db, databaseUrl } = api
    const receiver = await startCountingReceiver(t)
    const expected = new Set<string>()
    const plugins: string[] = []
    for (let n = 0; n < TENANTS; n++) {
      const tenant = api.tenant()
      const paths: string[] = []
      for (let each = 0; each < PLUGINS; each++) {
        const path = `/${n}/${each}`
        const { id, secret } = await registerPlugin(tenant, receiver.url + path)
        receiver.expect(path, secret)
        plugins.push(id)
        paths.push(path)
      }
      for (let hours = EVENTS; hours > 0; hours--) {
        const event = await seedEvent(db, tenant.id, { at: hoursAgo(hours) })
        for (const path of paths) expected.add(`${path} ${event}`)
      }
    }
    const workers = await startWorkers(t, { db, databaseUrl, count: WORKERS })
    const headers = { authorization: `Bearer ${TEST_PLATFORM_KEY}` }
    const read = async (url: string) => api.app.inject({ url, headers })
    const payload = { since: '2020-01-01T00:00:00Z', all_tenants: true }
    const created = await api.app.inject({ method: 'POST', url: '/api/recoveries', headers, payload })
    t.equal(created.statusCode, 202, created.body)
    const { id } = created.json<Recovery>()
    for (const share of KILLED_AT) {
      await eventually('the moment of the kill', () => receiver.total >= share * TOTAL, PATIENCE_MS)
      await workers.killHolder(plugins)
    }
    const done = await eventually(
      'it is completed',
      async () => {
        const recovery = (await read(`/api/recoveries/${id}`)).json<Recovery>()
        return recovery.status === 'completed' && recovery
      },
      PATIENCE_MS,
    )
    t.match(done, { plugins: plugins.length, plugins_open: 0, scanned: TOTAL, queued: TOTAL, skipped: 0 })
    const { data } = (await read(`/api/recoveries/${id}/plugins`)).json<{ data: RecoveredPlugin[] }>()
    t.equal(data.length, plugins.length)
    for (const plugin of data) t.match(plugin, { status: 'completed', queued: EVENTS })
    for (const pluginId of plugins) {
      const isSent = async () => (await statusesOf(db, pluginId))['sent'] === EVENTS
      await eventually('all is sent', isSent, PATIENCE_MS)
    }
    t.same(new Set(receiver.counts.keys()), expected)
    t.strictSame(receiver.faults, [])
  },
)
