import { existsSync, globSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { uuidTime } from '#lib/ids.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { startService } from '#test/support/service-process.ts'

const LIBRARY = globSync('/usr/lib/*/faketime/libfaketime.so.1').find((path) => existsSync(path))
const SKIP =
  LIBRARY === undefined && process.env['CI'] !== 'true'
    ? 'there is no faketime: apt-get install faketime'
    : false
/** Neither starting a service nor a slow machine takes so long. */
const NEAR_MS = 10 * 60_000

for (const [name, faketime, offsetHours] of [
  ['a day behind', '-1d', 24],
  ['two hours ahead', '+2h', -2],
] as const) {
  t.test(`a host whose clock is ${name} goes by the database's`, { skip: SKIP }, async (t) => {
    if (LIBRARY === undefined) throw new Error('there is no faketime')
    const { url: databaseUrl } = await createTestDatabase(t)
    const receiver = await startReceiver(t)
    const service = await startService(t, {
      databaseUrl,
      env: { LD_PRELOAD: LIBRARY, FAKETIME: faketime, FAKETIME_DONT_FAKE_MONOTONIC: '1' },
    })
    const told = await eventually('the clocks are told to be apart', () =>
      service.log.find((line) => line.includes('clock_offset_seconds')),
    )
    const { clock_offset_seconds: seconds } = JSON.parse(told) as { clock_offset_seconds: number }
    t.ok(Math.abs(seconds - offsetHours * 3_600) < NEAR_MS / 1_000, 'the start says how far it is off')
    const metrics = await (await service.request('GET', '/metrics')).text()
    const gauge = Number(/^bcs_clock_offset_seconds (\S+)$/m.exec(metrics)?.[1])
    t.ok(Math.abs(gauge - offsetHours * 3_600) < NEAR_MS / 1_000, 'and so does a metric')

    const tenantId = crypto.randomUUID()
    const plugin = { name: 'Clock', slug: 'clock', webhook_url: receiver.url, events: ['order.created'] }
    const registered = await service.request('POST', '/api/plugins', { tenantId, body: plugin })
    t.equal(registered.status, 201)
    const { secret } = (await registered.json()) as { secret: string }
    const body = { event: 'order.created', data: { order_id: 1 } }
    const accepted = await service.request('POST', '/api/events', { tenantId, body })
    t.equal(accepted.status, 202)
    const { id } = (await accepted.json()) as { id: string }
    t.ok(isNear(uuidTime(id).getTime()), 'ids are minted by the database’s clock')
    const delivery = await eventually('it is delivered', () => receiver.received[0])
    const headers = delivery.headers as Record<string, string>
    t.ok(isNear(Number(headers['webhook-timestamp']) * 1_000), 'so is the time that is signed')
    t.doesNotThrow(() => new Webhook(secret).verify(delivery.body, headers))
    t.ok(
      isNear(Date.parse((JSON.parse(delivery.body) as { timestamp: string }).timestamp)),
      'and the event’s',
    )
  })
}

t.test(
  'a clock that is set right counts again before ids of a minute are wrong',
  { skip: SKIP },
  async (t) => {
    if (LIBRARY === undefined) throw new Error('there is no faketime')
    const { url: databaseUrl } = await createTestDatabase(t)
    const folder = await mkdtemp(join(tmpdir(), 'bettercallsold-clock-'))
    t.teardown(() => rm(folder, { recursive: true }))
    const timestampFile = join(folder, 'faketimerc')
    await writeFile(timestampFile, '-1d\n')
    const service = await startService(t, {
      databaseUrl,
      env: {
        LD_PRELOAD: LIBRARY,
        FAKETIME_TIMESTAMP_FILE: timestampFile,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        LOG_LEVEL: 'info',
      },
    })
    await eventually('the clocks are told to be apart', () =>
      service.log.some((line) => line.includes('clock_offset_seconds')),
    )
    await writeFile(timestampFile, '+0\n')
    // Looks are a minute apart where nothing is wrong, and a twelfth of that while an offset counts.
    await eventually(
      'the clock is told to be right',
      () => service.log.some((line) => line.includes('is right again')),
      50_000,
    )
    const event = { event: 'order.created', data: { order_id: 1 } }
    const accepted = await service.request('POST', '/api/events', {
      tenantId: crypto.randomUUID(),
      body: event,
    })
    t.equal(accepted.status, 202)
    t.ok(isNear(uuidTime(((await accepted.json()) as { id: string }).id).getTime()))
  },
)

function isNear(ms: number): boolean {
  return Math.abs(ms - Date.now()) < NEAR_MS
}
