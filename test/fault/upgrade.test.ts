import { cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually, statusesOf } from '#test/support/deliveries.ts'
import { type ServiceProcess, startService } from '#test/support/service-process.ts'
import { freePort } from '#test/support/free-port.ts'
import { HAPROXY, NGINX, startBalancer } from './balancers.ts'
import { startCountingReceiver } from './counting-receiver.ts'
import { EventSender, registerAt } from './load.ts'

const ROOT = resolve(import.meta.dirname, '../..')
/** As docs/operations.md has it for these balancers. */
const DRAIN_MS = 5_000

/** This checkout with one migration more: the release after it. */
async function nextRelease(t: Test): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'bettercallsold-next-'))
  t.teardown(() => rm(root, { recursive: true, force: true }))
  for (const name of ['src', 'db', 'tools', 'package.json']) {
    await cp(join(ROOT, name), join(root, name), { recursive: true })
  }
  await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'))
  await writeFile(
    join(root, 'db/migrations/9999_next.sql'),
    "-- additive\nalter table events add column next_release text default 'yes';\n",
  )
  return root
}

// Most of it is waiting for the process that drains.
t.jobs = 2
for (const balancer of [HAPROXY, NGINX]) {
  const skip = balancer.program === null ? `${balancer.name} is not installed` : false
  t.test(
    `an upgrade behind ${balancer.name} loses no request and no event`,
    { skip, buffered: true },
    async (t) => {
      const database = await createTestDatabase(t)
      const next = await nextRelease(t)
      const receiver = await startCountingReceiver(t)
      const tenantId = crypto.randomUUID()
      const ports = [await freePort(), await freePort()]
      const start = (role: string, port: number | undefined, root: string): Promise<ServiceProcess> =>
        startService(t, {
          databaseUrl: database.url,
          root,
          env: { ROLES: role, DRAIN_MS: String(DRAIN_MS) },
          ...(port !== undefined && { port }),
        })
      const apis = await Promise.all(ports.map((port) => start('api', port, ROOT)))
      const workers = await Promise.all([start('worker', undefined, ROOT), start('worker', undefined, ROOT)])
      const { url, log } = await startBalancer(t, balancer, ports)
      const entrance: Pick<ServiceProcess, 'request'> = {
        request: (method, path, { body } = {}) =>
          fetch(url + path, {
            method,
            headers: {
              authorization: `Bearer ${TEST_PLATFORM_KEY}`,
              'x-tenant-id': tenantId,
              'content-type': 'application/json',
            },
            body: JSON.stringify(body),
          }),
      }
      const plugin = await registerAt(entrance, tenantId, receiver, '/orders', { max_in_flight: 16 })
      const sender = new EventSender(() => entrance, tenantId)
      const sending = sender.send(Infinity, 6)
      const acknowledgeMore = async (count: number): Promise<void> => {
        const target = sender.acknowledged.size + count
        await eventually(`${count} more are acknowledged`, () => sender.acknowledged.size >= target)
      }
      await acknowledgeMore(100)

      const replace = async (old: ServiceProcess, role: string, port?: number): Promise<void> => {
        old.kill('SIGTERM')
        t.equal((await old.exited).code, 0, old.log.slice(-3).join('\n'))
        await start(role, port, next)
        await acknowledgeMore(50)
      }
      // The first of the new release migrates; all old ones stay ready.
      await replace(workers[0], 'worker')
      const { rows } = await database.pool.query<{ kind: string }>(
        "select kind from migrations.checksums where name = '9999_next'",
      )
      t.strictSame(rows, [{ kind: 'additive' }])
      for (const api of apis) {
        // An answer is remembered for a second: the balancer may have asked just before the migration.
        await eventually('it has seen the migration', async () => {
          const ready = await api.request('GET', '/health/ready')
          t.equal(ready.status, 200)
          const { checks } = (await ready.json()) as {
            checks: { migrations: { status: string; detail: string } }
          }
          return checks.migrations.status === 'warning' && checks.migrations.detail.includes('9999_next')
        })
      }
      await replace(apis[0] as ServiceProcess, 'api', ports[0])
      await replace(workers[1], 'worker')
      await eventually('the balancer has seen the new one', async () => {
        const answers = await Promise.all(
          Array.from({ length: 8 }, async () => {
            const response = await fetch(`${url}/health/ready`)
            return ((await response.json()) as { checks: { migrations: { status: string } } }).checks
              .migrations.status
          }),
        )
        return answers.includes('ok')
      })
      await replace(apis[1] as ServiceProcess, 'api', ports[1])
      sender.stop()
      await sending

      const failed = sender.attempts.filter(({ status }) => status !== 202)
      t.strictSame(failed, [], `of ${sender.attempts.length} requests; ${log.slice(-5).join('\n')}`)
      await eventually('everything is delivered', async () => {
        return (await statusesOf(database.db, plugin.id))['sent'] === sender.acknowledged.size
      })
      t.strictSame(
        [...sender.acknowledged].filter((id) => receiver.counts.get(`/orders ${id}`) !== 1),
        [],
        'each exactly once',
      )
      t.equal(receiver.total, sender.acknowledged.size)
      t.strictSame(receiver.faults, [])
      t.comment(`${sender.acknowledged.size} events`)
    },
  )
}
