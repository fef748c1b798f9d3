import t from 'tap'
import { secretContext } from '#infra/secrets.ts'
import { parseSecret } from '#lib/secrets/signature.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import { auditOf, clientOf, type PluginBody, type ProblemBody, register } from '../support.ts'

const service = await startApp(t)
const { app, db } = service
const PATH = '/api/plugins/email-marketing'

interface Rotated {
  secret: string
  secrets: PluginBody['secrets']
}

const rotate = (tenant: Tenant, body?: unknown) => tenant.post(`${PATH}/rotate-secret`, body)

/** The secrets that sign, opened, newest first. */
async function storedSecrets(tenant: Tenant): Promise<string[]> {
  const rows = await db
    .selectFrom('plugin_secrets')
    .select(['id', 'sealed'])
    .where('tenant_id', '=', tenant.id)
    .orderBy('created_at', 'desc')
    .execute()
  return rows.map(({ id, sealed }) => app.secretBox.open(sealed, secretContext(tenant.id, id, 'secret')))
}

t.test('a rotation gives a new secret and lets the old one sign for a day', async (t) => {
  const tenant = service.tenant()
  const { id, secret: first } = await register(t, tenant)
  const changed: string[] = []
  t.teardown(app.signals.subscribe('plugin_changed', (ids) => changed.push(...ids)))
  const response = await rotate(tenant)
  t.equal(response.statusCode, 200, response.body)
  const { secret, secrets } = response.json<Rotated>()
  t.equal(parseSecret(secret).length, 32)
  t.strictSame(await storedSecrets(tenant), [secret, first])
  t.equal(secrets[0]?.expires_at, null)
  const hours = (Date.parse(secrets[1]?.expires_at ?? '') - Date.now()) / 3_600_000
  t.ok(hours > 23.9 && hours <= 24, `${hours}`)
  t.strictSame(changed, [id])
  const plugin = (await tenant.get(PATH)).json<PluginBody>()
  t.equal(plugin.revision, 2)
  t.strictSame(plugin.secrets, secrets)
})

t.test('overlap 0 retires every older secret at once', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  await rotate(tenant)
  const { secret, secrets } = (await rotate(tenant, { overlap_seconds: 0 })).json<Rotated>()
  t.equal(secrets.length, 1)
  t.strictSame(await storedSecrets(tenant), [secret])
})

t.test('a longer overlap does not prolong what ends sooner', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  const first = (await rotate(tenant, { overlap_seconds: 60 })).json<Rotated>()
  const second = (await rotate(tenant, { overlap_seconds: 604_800 })).json<Rotated>()
  t.equal(second.secrets.length, 3)
  t.equal(second.secrets[2]?.expires_at, first.secrets[1]?.expires_at)
})

t.test('at most ten secrets are live, and ended ones make room', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  for (let live = 2; live <= 10; live++) t.equal((await rotate(tenant)).statusCode, 200)
  const refused = await rotate(tenant)
  t.equal(refused.statusCode, 409)
  t.equal(refused.json<ProblemBody>().code, 'too_many_secrets')
  await db
    .updateTable('plugin_secrets')
    .set({ expires_at: new Date('2020-01-01') })
    .where('tenant_id', '=', tenant.id)
    .where('expires_at', 'is not', null)
    .execute()
  t.equal((await tenant.get(PATH)).json<PluginBody>().secrets.length, 1, 'an ended secret is not shown')
  t.equal((await rotate(tenant)).statusCode, 200)
  t.equal((await storedSecrets(tenant)).length, 2, 'and is erased by the next rotation')
})

t.test('rotations at the same moment each give a secret that signs, within the limit', async (t) => {
  const tenant = service.tenant()
  const { secret: first } = await register(t, tenant)
  const responses = await Promise.all(Array.from({ length: 12 }, () => rotate(tenant)))
  const given = responses.filter((response) => response.statusCode === 200)
  t.equal(given.length, 9)
  t.ok(responses.every((response) => [200, 409].includes(response.statusCode)))
  const secrets = [first, ...given.map((response) => response.json<Rotated>().secret)]
  t.strictSame((await storedSecrets(tenant)).sort(), secrets.sort())
  const current = (await tenant.get(PATH))
    .json<PluginBody>()
    .secrets.filter((secret) => secret.expires_at === null)
  t.equal(current.length, 1)
})

t.test('the caller may bring the secret, but not one that signs already', async (t) => {
  const tenant = service.tenant()
  const { secret: first } = await register(t, tenant)
  const secret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`
  t.equal((await rotate(tenant, { secret })).json<Rotated>().secret, secret)
  for (const known of [first, secret]) {
    const response = await rotate(tenant, { secret: known })
    t.equal(response.statusCode, 400)
    t.match(response.json(), { errors: [{ pointer: '/secret' }] })
    t.notOk(response.body.includes(known))
  }
  t.equal((await storedSecrets(tenant)).length, 2)
})

t.test('what is wrong with a rotation is named, and nothing changes', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  for (const [body, pointer] of [
    [{ overlap_seconds: -1 }, '/overlap_seconds'],
    [{ overlap_seconds: 604_801 }, '/overlap_seconds'],
    [{ overlap_seconds: '60' }, '/overlap_seconds'],
    [{ overlap_seconds: 0.5 }, '/overlap_seconds'],
    [{ secret: 'mine' }, '/secret'],
    [{ secret: ['whsec_'] }, '/secret'],
    [{ overlap: 1 }, '/overlap'],
  ] as const) {
    const response = await rotate(tenant, body)
    t.equal(response.statusCode, 400, response.body)
    t.equal(response.json<ProblemBody>().errors?.[0]?.pointer, pointer)
  }
  t.equal((await storedSecrets(tenant)).length, 1)
})

t.test('admins and the plugin itself rotate; the log has no secret', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant)
  const { id: otherId } = await register(t, tenant, { slug: 'other' })
  for (const [holder, status] of [
    ['viewer', 403],
    ['editor', 403],
    ['admin', 200],
    [{ pluginId: id }, 200],
    [{ pluginId: otherId }, 403],
  ] as const) {
    t.equal(
      (await rotate(await clientOf(service, tenant, holder), {})).statusCode,
      status,
      JSON.stringify(holder),
    )
  }
  const log = await auditOf(db, tenant.id)
  t.equal(log.filter((entry) => entry.action === 'plugin.secret_rotated').length, 2)
  t.notOk(/whsec_/.test(JSON.stringify(log)))
})

t.test('a secret may come from elsewhere, and is known in whatever form it is written', async (t) => {
  const tenant = service.tenant()
  await tenant.post('/api/plugins', {
    name: 'Foreign',
    slug: 'foreign',
    webhook_url: 'https://plugin.example/webhooks',
    secret: 'text:from another system',
  })
  const url = '/api/plugins/foreign/rotate-secret'
  const hex = `hex:${Buffer.from('from another system').toString('hex')}`
  const again = await tenant.post(url, { secret: hex })
  t.equal(again.statusCode, 400)
  t.match(again.json(), { errors: [{ pointer: '/secret', detail: /signs already/ }] })
  t.match((await tenant.post(url, { secret: `hex:${'a0'.repeat(256)}` })).json(), { secret: /^hex:a0a0/ })
  const short = await tenant.post(url, { secret: 'text:short' })
  t.match(short.json(), { errors: [{ pointer: '/secret', detail: /8 to 256 bytes, not 5/ }] })
  t.notMatch(short.body, /text:short/)
})
