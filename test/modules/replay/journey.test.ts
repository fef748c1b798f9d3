import t from 'tap'
import type { Replay } from '#modules/replay/schemas.ts'
import { startApp } from '#test/support/app.ts'
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
