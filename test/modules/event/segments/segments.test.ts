import t from 'tap'
import { MAX_CLAIMS } from '#modules/event/segments/segments.ts'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { deliverDue } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { feedSettled, pluginKey, type SubscribedPlugin, subscribe } from '../support.ts'

const service = await startApp(t)

interface Author {
  plugin: SubscribedPlugin
  client: Tenant
}

async function authorIn(shop: Tenant, slug?: string): Promise<Author> {
  await shop.patch('/api/tenant', { strict_events: false })
  const plugin = await subscribe(service, shop.id, [], slug)
  return { plugin, client: clientFor(service.app, shop.id, await pluginKey(service, shop.id, plugin)) }
}

const publish = async ({ client }: Pick<Author, 'client'>, event: string): Promise<string> => {
  const answer = await client.post('/api/events', { event, data: {} })
  return answer.statusCode === 202 ? 'accepted' : answer.json<{ code: string }>().code
}

const listed = async (shop: Tenant) =>
  (await shop.get('/api/event-segments')).json<{ data: Record<string, unknown>[] }>().data

t.test('the first plugin that publishes below a free segment has it', async (t) => {
  const shop = service.tenant()
  const mail = await authorIn(shop)
  const rival = await authorIn(shop)
  t.equal(await publish(mail, 'email.sent'), 'accepted')
  t.equal(await publish(rival, 'email.sent'), 'event_type_forbidden')
  t.equal(await publish(rival, 'email.opened'), 'event_type_forbidden')
  t.equal(await publish(mail, 'email.opened'), 'accepted')
  t.match(await listed(shop), [
    { segment: 'email', owner: 'plugin', plugin: mail.plugin.slug, plugin_id: mail.plugin.id },
  ])
  const audited = await service.db
    .selectFrom('audit_log')
    .select(['actor_kind', 'actor_id', 'target_id', 'detail'])
    .where('tenant_id', '=', shop.id)
    .where('action', '=', 'event_segment.claimed')
    .execute()
  t.match(audited, [
    { actor_kind: 'plugin', actor_id: String, target_id: 'email', detail: { plugin_id: mail.plugin.id } },
  ])
  t.equal(audited.length, 1)
  t.strictSame(audited[0]?.detail, { plugin_id: mail.plugin.id })
  t.strictSame(await listed(service.tenant()), [], 'another shop knows nothing of it')
})

t.test('a batch of several free segments claims all of them, and what looks like one is one', async (t) => {
  const shop = service.tenant()
  const author = await authorIn(shop)
  const rival = await authorIn(shop)
  const events = ['sms.sent', 'push.sent', 'fax_line.sent', 'sms.read'].map((event) => ({ event, data: {} }))
  t.match((await author.client.post('/api/events', { events })).json(), { summary: { accepted: 4 } })
  t.strictSame(
    (await listed(shop)).map(({ segment }) => segment),
    ['fax_line', 'push', 'sms'],
  )
  const cloudEvent = { specversion: '1.0', id: '1', source: 's', type: 'Fax-Line.sent', data: {} }
  const sent = await rival.client.post('/api/events', cloudEvent, {
    'content-type': 'application/cloudevents+json',
  })
  t.match(sent.json(), { status: 403, code: 'event_type_forbidden' })
})

t.test('many at once: one has the segment, and all of the others are told so', async (t) => {
  const shop = service.tenant()
  const authors = await Promise.all(Array.from({ length: 6 }, () => authorIn(shop)))
  const answers = await Promise.all(authors.map((author) => publish(author, 'race.won')))
  t.equal(answers.filter((answer) => answer === 'accepted').length, 1)
  t.equal(answers.filter((answer) => answer === 'event_type_forbidden').length, 5)
})

t.test('what the shop declares or sends first no plugin claims', async (t) => {
  const shop = service.tenant()
  const author = await authorIn(shop)
  await shop.put('/api/event-types/till.opened', {})
  t.equal(await publish({ client: shop }, 'loyalty.points_earned'), 'accepted')
  t.equal(await publish(author, 'till.closed'), 'event_type_forbidden')
  t.equal(await publish(author, 'loyalty.points_lost'), 'event_type_forbidden')
  const trigger = { id: 'closed', name: 'Closed', event_types: ['till.closed', 'own.made'] }
  const manifest = { name: 'Author', slug: author.plugin.slug, version: '1', triggers: [trigger] }
  const put = await author.client.put(`/api/plugins/${author.plugin.slug}/manifest`, manifest)
  t.match(put.json(), { capabilities: { own_event_types: ['own.made'] } })
  t.match(await listed(shop), [{ segment: 'own' }])
})

t.test('an admin takes a segment back, gives it to another, or makes it free', async (t) => {
  const shop = service.tenant()
  const mail = await authorIn(shop, 'mail')
  const rival = await authorIn(shop, 'rival')
  const trigger = { id: 'sent', name: 'Sent', event_types: ['email.sent'] }
  const manifest = { name: 'Mail', slug: 'mail', version: '1', triggers: [trigger] }
  t.equal((await mail.client.put('/api/plugins/mail/manifest', manifest)).statusCode, 200)
  t.equal(await publish(mail, 'email.sent'), 'accepted')

  const taken = await shop.put('/api/event-segments/email', { plugin: null })
  t.match(taken.json(), { segment: 'email', owner: 'shop', plugin: null, plugin_id: null })
  t.equal(await publish(mail, 'email.sent'), 'event_type_forbidden')
  t.equal(await publish({ client: shop }, 'email.sent'), 'accepted', 'the shop may')
  const own = async () =>
    (await shop.get('/api/plugins/mail/capabilities')).json<{ own_event_types: string[] }>().own_event_types
  t.strictSame(await own(), [], 'nor is what it has declared its own')
  await mail.client.put('/api/plugins/mail/manifest', { ...manifest, version: '2' })
  t.strictSame(await own(), [], 'also when it declares it again')

  t.match((await shop.put('/api/event-segments/email', { plugin: 'rival' })).json(), { plugin: 'rival' })
  t.equal(await publish(rival, 'email.sent'), 'accepted')
  t.equal(await publish(mail, 'email.sent'), 'event_type_forbidden')

  // A plugin's slug is its own name, until an admin says otherwise.
  await shop.put('/api/event-segments/mail', { plugin: rival.plugin.id })
  t.equal(await publish(mail, 'mail.sent'), 'event_type_forbidden')
  t.equal((await shop.delete('/api/event-segments/mail')).statusCode, 204)
  t.equal(await publish(mail, 'mail.sent'), 'accepted')
  t.match((await shop.delete('/api/event-segments/mail')).json(), { code: 'event_segment_not_found' })
  // A type that it has declared below its slug stays its own when a claim of the same name goes.
  const declared = {
    ...manifest,
    version: '3',
    triggers: [{ id: 'read', name: 'Read', event_types: ['mail.read'] }],
  }
  t.equal((await mail.client.put('/api/plugins/mail/manifest', declared)).statusCode, 200)
  t.ok((await own()).includes('mail.read'))
  await shop.put('/api/event-segments/mail', { plugin: 'mail' })
  await shop.delete('/api/event-segments/mail')
  t.ok((await own()).includes('mail.read'))

  t.match((await shop.put('/api/event-segments/order', { plugin: 'mail' })).json(), {
    status: 409,
    code: 'event_segment_reserved',
  })
  t.match((await shop.put('/api/event-segments/x', { plugin: 'unknown' })).json(), {
    status: 400,
    errors: [{ pointer: '/plugin' }],
  })
  const actions = await service.db
    .selectFrom('audit_log')
    .select(['action', 'detail'])
    .where('tenant_id', '=', shop.id)
    .where('target_kind', '=', 'event_segment')
    .where('action', '<>', 'event_segment.claimed')
    .orderBy('id')
    .execute()
  t.match(actions, [
    { action: 'event_segment.assigned', detail: { from: 'mail', to: null } },
    { action: 'event_segment.assigned', detail: { from: null, to: 'rival' } },
    { action: 'event_segment.assigned', detail: { from: null, to: 'rival' } },
    { action: 'event_segment.released', detail: { from: 'rival' } },
    { action: 'event_segment.assigned', detail: { from: null, to: 'mail' } },
    { action: 'event_segment.released', detail: { from: 'mail' } },
  ])
})

t.test('a plugin claims so many, an admin gives it more, and all are free when it goes', async (t) => {
  const shop = service.tenant()
  const author = await authorIn(shop, 'greedy')
  const events = Array.from({ length: MAX_CLAIMS + 2 }, (_, n) => ({ event: `word_${n}.said`, data: {} }))
  t.match((await author.client.post('/api/events', { events })).json(), {
    summary: { accepted: MAX_CLAIMS, rejected: 2 },
  })
  t.equal(await publish(author, 'word_0.said'), 'accepted')
  t.equal(await publish(author, 'another.said'), 'event_type_forbidden')
  await shop.put('/api/event-segments/another', { plugin: 'greedy' })
  t.equal(await publish(author, 'another.said'), 'accepted')
  t.equal((await shop.delete('/api/plugins/greedy')).statusCode, 204)
  t.strictSame(await listed(shop), [])
  t.equal(await publish(await authorIn(shop), 'word_0.said'), 'accepted')
})

t.test('pages go on behind the cursor', async (t) => {
  const shop = service.tenant()
  await authorIn(shop)
  for (const segment of ['c', 'a', 'b']) await shop.put(`/api/event-segments/${segment}`, { plugin: null })
  const page = (query: string) =>
    shop
      .get(`/api/event-segments?limit=2${query}`)
      .then((answer) => answer.json<{ data: { segment: string }[]; next_cursor: string | null }>())
  const first = await page('')
  const second = await page(`&cursor=${first.next_cursor ?? ''}`)
  t.strictSame(
    [...first.data, ...second.data].map(({ segment }) => segment),
    ['a', 'b', 'c'],
  )
  t.equal(second.next_cursor, null)
  t.match((await shop.get('/api/event-segments?cursor=x')).json(), { code: 'invalid_cursor' })
})

t.test('deliveries and the feed say who published', async (t) => {
  const shop = service.tenant()
  const receiver = await startReceiver(t)
  const author = await authorIn(shop, 'loyalty')
  await shop.post('/api/plugins', { name: 'Listener', webhook_url: receiver.url, events: ['*'] })
  t.equal(await publish(author, 'loyalty.won'), 'accepted')
  t.equal(await publish({ client: shop }, 'order.created'), 'accepted')
  await deliverDue(service, shop)
  t.strictSame(
    receiver.received.map(({ headers }) => [headers['webhook-event'], headers['webhook-publisher']]).sort(),
    [
      ['loyalty.won', 'loyalty'],
      ['order.created', 'platform'],
    ],
  )
  await feedSettled(service)
  const { data } = (await shop.get('/api/events')).json<{ data: { id: string }[] }>()
  t.match(data, [
    { event: 'loyalty.won', publisher: 'loyalty', publisher_plugin_id: author.plugin.id },
    { event: 'order.created', publisher: 'platform', publisher_plugin_id: null },
  ])
  t.match((await shop.get(`/api/events/${data[0]?.id ?? ''}`)).json(), { publisher: 'loyalty' })
})
