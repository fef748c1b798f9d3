import { randomBytes } from 'node:crypto'
import t from 'tap'
import { secretContext } from '#infra/secrets.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { manifestOf } from '#test/modules/capability/support.ts'
import { actionAt, dispatch } from '#test/modules/dispatcher/support.ts'
import { startApp } from '#test/support/app.ts'
import {
  attemptsOf,
  deliverDue,
  eventually,
  onlyDelivery,
  registerPlugin,
  sendEvent,
} from '#test/support/deliveries.ts'
import { startMutualTlsServer } from '#test/support/mutual-tls.ts'
import { createAuthority, createCertificate } from '#test/support/tls.ts'

const authority = createAuthority('Test authority')
const service = await startApp(t, { ca: authority.cert })
const { db } = service

function certified(name: string, issuer = authority) {
  const { cert, key } = createCertificate({ names: [name], issuer })
  return { client_certificate: { certificate: cert, private_key: key } }
}

t.test('deliveries, tests, actions and the fetch of capabilities present it', async (t) => {
  const tenant = service.tenant()
  const server = await startMutualTlsServer(t, authority)
  server.answer(({ path }, response) => {
    const answer = path.endsWith('/api/capabilities') ? manifestOf() : { done: true }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  })
  const { id, slug } = await registerPlugin(tenant, `${server.url}/hook`, certified('plugin-a'))
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  t.equal((await onlyDelivery(db, id)).status, 'sent')
  t.match((await tenant.post(`/api/plugins/${slug}/test`)).json(), { delivered: true })
  const registered = await tenant.post(`/api/plugins/${slug}/register-actions`, {
    actions: [actionAt('work')],
  })
  t.equal(registered.statusCode, 200, registered.body)
  t.match(await dispatch(tenant, [{ action_type: 'work', payload: {} }]), {
    results: [{ status: 'succeeded' }],
  })
  t.equal((await tenant.post(`/api/plugins/${slug}/capabilities/refresh`)).statusCode, 200)
  t.match(
    server.requests.map(({ path, client }) => [path, client]),
    [
      ['/hook', 'plugin-a'],
      ['/hook', 'plugin-a'],
      ['/work', 'plugin-a'],
      ['/api/capabilities', 'plugin-a'],
    ],
  )
  const { id: deliveryId } = await onlyDelivery(db, id)
  const log = await tenant.get(`/api/plugins/events/${deliveryId}`)
  t.match(log.json(), { attempts: [{ request: { client_certificate: server.requests[0]?.fingerprint } }] })
  t.notMatch(log.body, /PRIVATE KEY|BEGIN CERTIFICATE/)
})

t.test('without it, or with one of another authority, the attempt says what the server wants', async (t) => {
  const tenant = service.tenant()
  const server = await startMutualTlsServer(t, authority)
  const none = await registerPlugin(tenant, server.url, { retry_schedule: [] })
  const other = certified('stranger', createAuthority('Another'))
  const wrong = await registerPlugin(tenant, server.url, { retry_schedule: [], ...other })
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  t.match(await attemptsOf(db, none.id), [
    { error_class: 'tls_error', error_detail: /asks for a client certificate, and none is sent/ },
  ])
  t.match(await attemptsOf(db, wrong.id), [{ error_detail: /not accept the client certificate/ }])
  t.equal(server.requests.length, 0)
  t.match((await tenant.post(`/api/plugins/${none.slug}/test`)).json(), {
    delivered: false,
    error_class: 'tls_error',
    error_detail: /asks for a client certificate/,
  })
})

t.test('each plugin at one host presents its own, also in another shop', async (t) => {
  const [shop, otherShop] = [service.tenant(), service.tenant()]
  const server = await startMutualTlsServer(t, authority)
  const same = certified('same')
  const plugins = [
    await registerPlugin(shop, `${server.url}/a`, certified('a')),
    await registerPlugin(shop, `${server.url}/b`, certified('b')),
    await registerPlugin(shop, `${server.url}/c`, same),
    await registerPlugin(otherShop, `${server.url}/d`, same),
  ]
  for (let turn = 0; turn < 3; turn++) {
    for (const tenant of [shop, otherShop]) {
      await sendEvent(tenant)
      await deliverDue(service, tenant)
    }
  }
  t.equal(plugins.length, 4)
  t.equal(server.requests.length, 12)
  const pairs = new Set(server.requests.map(({ path, client }) => `${path} ${client ?? ''}`))
  t.strictSame([...pairs].sort(), ['/a a', '/b b', '/c same', '/d same'])
  for (const requests of Map.groupBy(server.requests, ({ connection }) => connection).values()) {
    t.equal(new Set(requests.map(({ path }) => path)).size, 1, 'a connection is of one plugin')
  }
  t.equal(server.resumed(), 0)
})

t.test('one that takes the place of a refused one sends at once what waits', async (t) => {
  const tenant = service.tenant()
  const server = await startMutualTlsServer(t, authority)
  const old = certified('old', createAuthority('Another'))
  const { id, slug } = await registerPlugin(tenant, server.url, { ...old, retry_schedule: [3600] })
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  t.match(await onlyDelivery(db, id), { status: 'retry' })
  t.match((await tenant.get(`/api/plugins/${slug}`)).json(), { health: { consecutive_failures: 1 } })
  const changed = await tenant.patch(`/api/plugins/${slug}`, certified('new'))
  t.match(changed.json(), { health: { consecutive_failures: 0 } })
  await sendEvent(tenant, 'order.created')
  await deliverDue(service, tenant)
  t.match(server.requests, [{ client: 'new' }])
  t.equal((await tenant.patch(`/api/plugins/${slug}`, { client_certificate: null })).statusCode, 200)
  await sendEvent(tenant, 'order.paid')
  await deliverDue(service, tenant)
  t.match((await attemptsOf(db, id)).at(-1), { error_class: 'tls_error' }, 'no connection of before is used')
})

t.test('one that was sealed by a lost key holds deliveries, until it is sent again or removed', async (t) => {
  const tenant = service.tenant()
  const server = await startMutualTlsServer(t, authority, { rejectUnauthorized: false })
  const { id, slug } = await registerPlugin(tenant, server.url, certified('plugin-a'))
  const path = `/api/plugins/${slug}`
  const lose = async (): Promise<void> => {
    const lost = createSecretBox(randomBytes(32)).seal(
      '{}',
      secretContext(tenant.id, id, 'client_certificate'),
    )
    await db
      .updateTable('plugins')
      .set((eb) => ({ client_certificate_sealed: lost, revision: eb('revision', '+', 1) }))
      .where('tenant_id', '=', tenant.id)
      .where('id', '=', id)
      .execute()
  }
  const ends = async () =>
    db
      .selectFrom('plugins')
      .select(['client_certificate_sealed', 'client_certificate_ends_at'])
      .where('tenant_id', '=', tenant.id)
      .executeTakeFirstOrThrow()
  await lose()
  const before = await ends()
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  const first = await onlyDelivery(db, id)
  t.match((await tenant.get(`/api/plugins/events/${first.id}`)).json(), { reason: 'secret_unreadable' })
  t.match((await tenant.get(path)).json(), { unreadable: ['client_certificate'], client_certificate: null })
  t.match((await tenant.post(`${path}/test`)).json(), { status: 409, code: 'secret_unreadable' })
  t.match((await tenant.patch(path, { timeout_ms: 2000 })).json(), { unreadable: ['client_certificate'] })
  t.strictSame(await ends(), before, 'another change leaves it as it is')
  t.match((await tenant.patch(path, certified('plugin-b'))).json(), {
    unreadable: undefined,
    client_certificate: { subject: 'CN=plugin-b' },
  })
  await deliverDue(service, tenant)
  await lose()
  t.match((await tenant.patch(path, { client_certificate: null })).json(), { unreadable: undefined })
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  await eventually('both have come', () => server.requests.length === 2)
  t.strictSame(
    server.requests.map(({ client }) => client),
    ['plugin-b', null],
  )
})
