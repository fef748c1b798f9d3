import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import t from 'tap'
import { buildApp } from '#src/app.ts'
import { loadConfig } from '#config/config.ts'
import { parseEgressAllow } from '#infra/egress/index.ts'
import { secretContext } from '#infra/secrets.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { clientFor, PATIENT, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { WEBHOOK_URL } from './support.ts'

t.test('no secret of a plugin is ever logged, whatever the level and the outcome', async (t) => {
  const database = await createTestDatabase(t)
  const lines: string[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString())
      done()
    },
  })
  const app = await buildApp(loadConfig({ ROLES: 'api', PLATFORM_KEY: TEST_PLATFORM_KEY }, null), {
    logger: pino({ level: 'trace' }, stream),
    databaseUrl: database.url,
    secretBox: createSecretBox(randomBytes(32)),
    egress: { allow: parseEgressAllow('127.0.0.0/8'), dnsServers: [], httpsOnly: false },
    openTenantId: null,
    limits: PATIENT,
  })
  t.teardown(() => app.close())
  const tenant = clientFor(app, crypto.randomUUID(), TEST_PLATFORM_KEY)
  const secrets = { config: { key: 'clear-config' }, headers: { 'x-token': 'clear-header' } }
  const body = { name: 'Mail', webhook_url: WEBHOOK_URL, ...secrets }
  const registered = await tenant.post('/api/plugins', body)
  const rotated = await tenant.post('/api/plugins/mail/rotate-secret')
  const statuses = [registered, rotated]
  statuses.push(await tenant.post('/api/plugins', body))
  statuses.push(await tenant.patch('/api/plugins/mail', { ...secrets, metadata: 7 }))
  statuses.push(await tenant.put('/api/plugins/mail', body))
  // Not as the service writes it: the one thing here that is a 500.
  const { id } = registered.json<{ id: string }>()
  await database.db
    .updateTable('plugins')
    .set({
      config_sealed: app.secretBox.seal('{"key":"clear-config"', secretContext(tenant.id, id, 'config')),
    })
    .execute()
  statuses.push(await tenant.get('/api/plugins/mail'))
  t.strictSame(
    statuses.map((response) => response.statusCode),
    [201, 200, 409, 400, 200, 500],
  )
  const log = lines.join('')
  t.ok(log.includes('request failed'), 'it does log')
  for (const secret of [
    'clear-config',
    'clear-header',
    registered.json<{ secret: string }>().secret.slice(6),
    rotated.json<{ secret: string }>().secret.slice(6),
  ]) {
    t.notOk(log.includes(secret))
  }
})
