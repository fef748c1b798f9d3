import { randomBytes } from 'node:crypto'
import { pino } from 'pino'
import t from 'tap'
import { buildApp } from '#src/app.ts'
import { parseEgressAllow } from '#infra/egress/index.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import type { ApiKeyWithSecret } from '#modules/key/schemas.ts'
import { clientFor, PATIENT, startApp } from '#test/support/app.ts'

const PATIENCE_MS = 60_000

t.test('a key that one replica revokes is refused by the others at once', async (t) => {
  const here = await startApp(t)
  const there = await buildApp(here.config, {
    logger: pino({ level: 'silent' }),
    databaseUrl: here.databaseUrl,
    secretBox: createSecretBox(randomBytes(32)),
    egress: { allow: parseEgressAllow(''), dnsServers: [], httpsOnly: false },
    openTenantId: null,
    limits: PATIENT,
  })
  t.teardown(() => there.close())
  await there.ready()

  const tenant = here.tenant()
  const created = await tenant.post('/api/keys', { name: 'x', kind: 'tenant', role: 'viewer' })
  const { id, key } = created.json<ApiKeyWithSecret>()
  const client = clientFor(there, tenant.id, key)
  t.equal((await client.get('/api/tenant')).statusCode, 200)

  // Time stands still for remembered answers: only a signal makes a replica ask again.
  const now = performance.now()
  performance.now = () => now
  t.teardown(() => Reflect.deleteProperty(performance, 'now'))
  await tenant.delete(`/api/keys/${id}`)
  const giveUpAt = Date.now() + PATIENCE_MS
  let status = 200
  while (status !== 401 && Date.now() < giveUpAt) {
    status = (await client.get('/api/tenant')).statusCode
  }
  t.equal(status, 401)
})
