import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { SEALED_COLUMNS } from '#infra/sealed/columns.ts'
import { countSealed } from '#infra/sealed/count.ts'
import { secretContext } from '#infra/secrets.ts'
import { newId } from '#lib/ids.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { parseSecret, verifyWebhook } from '#lib/secrets/signature.ts'
import { clientFor, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { registerPlugin } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { runCli, startCli } from '#test/support/run-cli.ts'
import { createCertificate } from '#test/support/tls.ts'
import { appOn } from '../app-on.ts'

const older = randomBytes(32).toString('base64')
const newer = randomBytes(32).toString('base64')

const keys = (masterKey: string, previous = ''): Record<string, string> => ({
  MASTER_KEY: masterKey,
  MASTER_KEY_PREVIOUS: previous,
})

async function appWith(t: Test, databaseUrl: string, masterKey: string) {
  const app = await appOn(t, databaseUrl, { env: { MASTER_KEY: masterKey } })
  return { app, tenant: (id: string) => clientFor(app, id, TEST_PLATFORM_KEY) }
}

t.test('every sealed column of the database is known', async (t) => {
  const { db } = await createTestDatabase(t)
  const { rows } = await sql<{ name: string }>`
    select table_name || '.' || column_name as name from information_schema.columns
    where table_schema = 'public' and data_type = 'bytea' and column_name like '%sealed'`.execute(db)
  t.strictSame(rows.map(({ name }) => name).sort(), SEALED_COLUMNS.map(({ name }) => name).sort())
})

t.test('after a reseal the older key is not needed for anything', async (t) => {
  const { url, db } = await createTestDatabase(t)
  const receiver = await startReceiver(t)
  const certificate = createCertificate({ names: ['plugin-a'] })
  const before = await appWith(t, url, older)
  const tenantId = crypto.randomUUID()
  const shop = before.tenant(tenantId)
  const plugin = await registerPlugin(shop, receiver.url, {
    headers: { 'x-api-key': 'k-1' },
    config: { list: 'vip' },
    client_certificate: { certificate: certificate.cert, private_key: certificate.key },
  })
  t.equal(
    (await shop.put('/api/tenant/platform', { url: receiver.url, token: 'platform-1' })).statusCode,
    200,
  )
  t.equal((await shop.post('/api/erasures', { path: 'data.email', value: 'a@b.c' })).statusCode, 202)
  const connection = { name: 'crm', kind: 'bearer', hosts: ['127.0.0.1'], values: { token: 'token-0001' } }
  t.equal((await shop.post('/api/connections', connection)).statusCode, 201)
  const made = await shop.post('/api/automation/flows', {
    name: 'Contact form',
    triggers: [{ type: 'webhook' }],
    steps: [{ id: 'task', type: 'action', action_type: 'create_task', input: { title: 'Answer' } }],
  })
  t.equal(made.statusCode, 201, made.body)
  const flow = made.json<{ id: string; inlets: { url: string }[] }>()
  const pool = before.app.pools.api
  const counts = await countSealed(pool, createSecretBox(Buffer.from(newer, 'base64')))
  t.strictSame(
    counts.unreadableBy.map(({ name }) => name).sort(),
    SEALED_COLUMNS.map(({ name }) => name).sort(),
    'there is something in each column',
  )

  const env = { DATABASE_URL: url, ...keys(newer, older) }
  const counted = await runCli('key-cli.ts', ['reseal', '--count'], env)
  t.match(counted, { exitCode: 0, stdout: 'stored\t8\nolder key\t8\nunknown key\t0\n' })
  const done = await runCli('key-cli.ts', ['reseal'], env)
  t.match(done, { exitCode: 0, stdout: 'resealed\t8\nstored\t8\nolder key\t0\nunknown key\t0\n' })
  t.match(done.stderr, /Nothing needs MASTER_KEY_PREVIOUS any more/)
  t.match(await runCli('key-cli.ts', ['reseal'], env), { exitCode: 0, stdout: /^resealed\t0\n/ })

  const after = await appWith(t, url, newer)
  const same = after.tenant(tenantId)
  const view = (await same.get(`/api/plugins/${plugin.slug}`)).json<Record<string, unknown>>()
  t.match(view, {
    headers: { 'x-api-key': 'k-1' },
    config: { list: 'vip' },
    client_certificate: { subject: 'CN=plugin-a' },
  })
  t.notOk('unreadable' in view)
  t.match((await same.post(`/api/plugins/${plugin.slug}/test`)).json(), { delivered: true })
  const [request] = receiver.received
  const clock = { toleranceSeconds: 300, nowSeconds: Date.now() / 1_000 }
  t.equal(
    verifyWebhook(request?.headers ?? {}, request?.body ?? '', [parseSecret(plugin.secret)], clock),
    'valid',
  )
  t.equal(request?.headers['x-api-key'], 'k-1')
  t.match((await same.get(`/api/automation/flows/${flow.id}`)).json(), {
    inlets: [{ url: flow.inlets[0]?.url }],
  })
  const box = createSecretBox(Buffer.from(newer, 'base64'))
  const tenant = await db
    .selectFrom('tenants')
    .select('platform_token_sealed')
    .where('id', '=', tenantId)
    .executeTakeFirstOrThrow()
  t.equal(
    box.open(
      tenant.platform_token_sealed ?? Buffer.alloc(0),
      secretContext(tenantId, tenantId, 'platform_token'),
    ),
    'platform-1',
  )
  const asked = { url: 'http://127.0.0.1/', timeoutMs: 1_000 }
  t.match(await after.app.connections.authorise(tenantId, 'crm', asked), {
    headers: { authorization: 'Bearer token-0001' },
  })
  const erasure = await db
    .selectFrom('erasures')
    .select(['id', 'value_sealed'])
    .where('tenant_id', '=', tenantId)
    .executeTakeFirstOrThrow()
  t.match(
    box.open(erasure.value_sealed ?? Buffer.alloc(0), secretContext(tenantId, erasure.id, 'value')),
    'a@b.c',
  )
})

t.test('killed half way, beside a running service, it goes on when it is run again', async (t) => {
  const { url, db } = await createTestDatabase(t)
  const box = createSecretBox(Buffer.from(older, 'base64'))
  const tenantId = crypto.randomUUID()
  await db.insertInto('tenants').values({ id: tenantId }).execute()
  const ids = Array.from({ length: 10_000 }, newId)
  await sql`
    insert into plugins (id, tenant_id, slug, name, webhook_url, base_url, config_sealed)
    select id, ${tenantId}, 'plugin-' || row_number() over (), 'p', 'http://127.0.0.1:9/', 'http://127.0.0.1:9', sealed
    from unnest(${ids}::uuid[], ${ids.map((id) => box.seal('{"a":"b"}', secretContext(tenantId, id, 'config')))}::bytea[])
      as given (id, sealed)`.execute(db)
  const running = await appOn(t, url, { env: keys(newer, older) })
  const shop = clientFor(running, tenantId, TEST_PLATFORM_KEY)
  const current = createSecretBox(Buffer.from(newer, 'base64'), [Buffer.from(older, 'base64')])
  const countLeft = async (): Promise<number> => (await countSealed(running.pools.api, current)).older

  const env = { DATABASE_URL: url, ...keys(newer, older) }
  const first = startCli('key-cli.ts', ['reseal'], env)
  await new Promise<void>((resolve) => first.child.stderr?.once('data', () => resolve()))
  first.child.kill('SIGKILL')
  await first.result
  const left = await countLeft()
  t.ok(left > 0 && left < 10_000, `${left} are left`)

  const second = runCli('key-cli.ts', ['reseal'], env)
  const third = runCli('key-cli.ts', ['reseal'], env)
  for (let number = 1; number <= 20; number++) {
    const slug = `plugin-${number * 400}`
    t.equal((await shop.patch(`/api/plugins/${slug}`, { config: { changed: 'yes' } })).statusCode, 200)
  }
  t.match(await Promise.all([second, third]), [{ exitCode: 0 }, { exitCode: 0 }])
  t.equal(await countLeft(), 0)

  const rows = await db.selectFrom('plugins').select(['id', 'slug', 'config_sealed']).execute()
  const only = createSecretBox(Buffer.from(newer, 'base64'))
  let changed = 0
  for (const { id, config_sealed } of rows) {
    const config = only.open(config_sealed ?? Buffer.alloc(0), secretContext(tenantId, id, 'config'))
    if (config === '{"changed":"yes"}') changed++
    else if (config !== '{"a":"b"}') t.fail(`${id} has ${config}`)
  }
  t.equal(changed, 20, 'what somebody changed meanwhile stays')
})

t.test('what no configured key opens is counted and named, and fails the command', async (t) => {
  const { url } = await createTestDatabase(t)
  const { tenant } = await appWith(t, url, older)
  await registerPlugin(tenant(crypto.randomUUID()), 'http://127.0.0.1:9/', { headers: { 'x-key': 'v' } })
  const result = await runCli('key-cli.ts', ['reseal'], { DATABASE_URL: url, ...keys(newer) })
  t.match(result, { exitCode: 1, stdout: /unknown key\t2\n/ })
  t.match(result.stderr, /2 cannot be opened .*plugin_secrets\.sealed 1, plugins\.headers_sealed 1/)
  t.match(await runCli('key-cli.ts', ['reseal', '--tenant', crypto.randomUUID()], { DATABASE_URL: url }), {
    exitCode: 2,
  })
})
