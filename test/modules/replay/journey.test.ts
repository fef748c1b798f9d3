import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { RecoveredPlugin, Recovery } from '#modules/replay/recovery/schemas.ts'
import type { Replay } from '#modules/replay/schemas.ts'
import { printedCalls } from '#test/openapi/printed-calls.ts'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { eventually, registerPlugin } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { hoursAgo, seedEvent } from './support.ts'

t.test('a running service delivers events from before the plugin was registered', async (t) => {
  const receiver = await startReceiver(t)
  const service = await startApp(t, { env: { ROLES: 'api,worker' } })
  const tenant = service.tenant()
  const registered = await tenant.post('/api/plugins', {
    name: 'Late',
    slug: 'late',
    webhook_url: receiver.url,
    events: ['order.*'],
  })
  t.equal(registered.statusCode, 201, registered.body)
  const ids = await Promise.all(
    [3, 2, 1].map((hours) => seedEvent(service.db, tenant.id, { at: hoursAgo(hours), data: { hours } })),
  )
  const { id } = (await tenant.post('/api/plugins/late/replays', {})).json<Replay>()
  const received = await receiver.waitFor(3)
  t.strictSame(received.map(({ headers }) => headers['webhook-id']).sort(), ids.sort())
  const replay = (await tenant.get(`/api/replays/${id}`)).json<Replay>()
  t.match(replay, { queued: 3 })
})

t.test('a running service recovers all shops as docs/operations.md says', async (t) => {
  const service = await startApp(t, { env: { ROLES: 'api,worker' } })
  const receiver = await startReceiver(t)
  const slugs: string[] = []
  const ids: string[] = []
  for (const tenant of [service.tenant(), service.tenant()]) {
    ids.push(await seedEvent(service.db, tenant.id, { at: hoursAgo(1) }))
    slugs.push((await registerPlugin(tenant, receiver.url)).slug)
  }
  const page = await readFile(join(import.meta.dirname, '../../../docs/operations.md'), 'utf8')
  const section = page.split(/^## /m).find((each) => each.startsWith('Recovering after an outage'))
  const [create, look] = await printedCalls(t, section?.replaceAll('```bash', '```sh') ?? '')
  if (create === undefined || look === undefined) throw new Error('the page prints other commands')
  const platform = { authorization: `Bearer ${TEST_PLATFORM_KEY}` }
  const recover = async (dryRun: boolean): Promise<Recovery> => {
    const asked = { ...(create.body as object), since: hoursAgo(2), until: hoursAgo(0), dry_run: dryRun }
    const created = await service.app.inject({
      method: 'POST',
      url: create.url.pathname,
      headers: platform,
      payload: asked,
    })
    t.equal(created.statusCode, 202, created.body)
    return eventually('the recovery has completed', async () => {
      const url = look.url.pathname + look.url.search
      const [newest] = (await service.app.inject({ url, headers: platform })).json<{ data: Recovery[] }>()
        .data
      return newest?.id === created.json<Recovery>().id && newest.status === 'completed' && newest
    })
  }

  const counted = await recover(true)
  t.match(counted, { queued: 2, plugins: 2 })
  const url = `/api/recoveries/${counted.id}/plugins`
  const { data } = (await service.app.inject({ url, headers: platform })).json<{ data: RecoveredPlugin[] }>()
  t.strictSame(
    data.map(({ plugin, queued }) => [plugin, queued]).sort(),
    slugs.map((slug) => [slug, 1]).sort(),
  )
  t.equal(receiver.received.length, 0)

  t.match(await recover(false), { queued: 2, plugins: 2 })
  const received = await receiver.waitFor(2)
  t.strictSame(received.map(({ headers }) => headers['webhook-id']).sort(), ids.sort())
})
