import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'
import { createAuthority, createCertificate } from '#test/support/tls.ts'
import { auditOf, clientOf, type ProblemBody, register } from './support.ts'

const service = await startApp(t)
const { db } = service
const authority = createAuthority('Shop authority')
const DAY_MS = 86_400_000
const HTTPS_URL = 'https://127.0.0.1:9/webhooks'
const PATH = '/api/plugins/email-marketing'

const inDays = (days: number): Date => new Date(Date.now() + days * DAY_MS + DAY_MS / 2)
const of = ({ cert, key }: { cert: string; key: string }) => ({ certificate: cert, private_key: key })
const certified = (name: string, options: Partial<Parameters<typeof createCertificate>[0]> = {}) =>
  createCertificate({ names: [name], issuer: authority, notAfter: inDays(90), ...options })

async function storedOf(tenant: Tenant) {
  return db
    .selectFrom('plugins')
    .select(['client_certificate_sealed', 'client_certificate_ends_at'])
    .where('tenant_id', '=', tenant.id)
    .executeTakeFirstOrThrow()
}

t.test('a certificate is registered, shown without its key, replaced, kept and removed', async (t) => {
  const tenant = service.tenant()
  const first = certified('plugin-a')
  const plugin = await register(t, tenant, { webhook_url: HTTPS_URL, client_certificate: of(first) })
  const shown = {
    subject: 'CN=plugin-a',
    issuer: 'CN=Shop authority',
    serial_number: /^[0-9A-F]{32}$/,
    fingerprint_sha256: /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/,
    expires_in_days: 90,
  }
  t.match(plugin, { client_certificate: shown, warnings: undefined })
  const viewer = await clientOf(service, tenant, 'viewer')
  const read = await viewer.get(PATH)
  t.match(read.json(), { client_certificate: shown })
  t.strictSame(Object.keys(read.json<{ client_certificate: object }>().client_certificate).sort(), [
    'expires_in_days',
    'fingerprint_sha256',
    'issuer',
    'not_after',
    'not_before',
    'serial_number',
    'subject',
  ])
  const { client_certificate_sealed: sealed } = await storedOf(tenant)
  t.notOk(sealed?.includes('PRIVATE KEY'))

  const second = certified('plugin-b', { keys: generateKeyPairSync('rsa', { modulusLength: 2048 }) })
  t.match((await tenant.patch(PATH, { client_certificate: of(second) })).json(), {
    client_certificate: { subject: 'CN=plugin-b' },
    revision: 2,
  })
  t.match((await tenant.patch(PATH, { client_certificate: of(second) })).json(), { revision: 2 }, 'the same')
  const put = { name: 'Email Marketing', webhook_url: HTTPS_URL, timeout_ms: 5000 }
  t.match((await tenant.put(PATH, put)).json(), { client_certificate: { subject: 'CN=plugin-b' } })
  t.match((await tenant.put(PATH, { ...put, client_certificate: null })).json(), { client_certificate: null })
  t.strictSame(await storedOf(tenant), { client_certificate_sealed: null, client_certificate_ends_at: null })
  const entries = await auditOf(db, tenant.id)
  t.match(
    entries.map(({ action, detail }) => [action, detail['changed']]),
    [
      ['plugin.created', undefined],
      ['plugin.updated', ['client_certificate']],
      ['plugin.updated', ['timeout_ms']],
      ['plugin.updated', ['client_certificate']],
    ],
  )
  t.notMatch(JSON.stringify(entries), /PRIVATE|CERTIFICATE-/)
})

t.test('what openssl writes around PEM is left out', async (t) => {
  const tenant = service.tenant()
  const between = createAuthority('Authority between', authority)
  const { cert, key } = certified('plugin-a', { issuer: between })
  const given = {
    certificate: `Bag Attributes\r\n  friendlyName: x\r\n${cert.replaceAll('\n', '\r\n')}subject=CN = y\n${between.cert}${authority.cert}`,
    private_key: `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${key}`,
  }
  await register(t, tenant, { webhook_url: HTTPS_URL, client_certificate: given })
  const changed = await tenant.patch(PATH, {
    client_certificate: { certificate: cert + between.cert + authority.cert, private_key: key },
  })
  t.match(changed.json(), { revision: 1 }, 'it was stored as that alone')
})

t.test('whatever cannot be presented is refused, by its field', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant, { webhook_url: HTTPS_URL })
  const good = certified('good')
  const other = certified('other')
  const rsa = (modulusLength: number) =>
    certified('rsa', { keys: generateKeyPairSync('rsa', { modulusLength }) })
  const encrypted = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
  }).privateKey
  const oldEncrypted = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
  }).privateKey
  const koblitz = certified('k', { keys: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }) })
  const edwards = certified('e', { keys: generateKeyPairSync('ed25519') })
  const request = good.cert.replaceAll('CERTIFICATE', 'CERTIFICATE REQUEST')
  const cut = good.cert.replace(/\n[^\n]+\n-----END/, '\n-----END')
  const [chain, privateKey] = ['/client_certificate/certificate', '/client_certificate/private_key']
  const cases: [object, string, RegExp][] = [
    [{ ...of(good), certificate: 'hello' }, chain, /must be in PEM/],
    [{ ...of(good), certificate: '-----BEGIN CERTIFICATE-----\nAAAA' }, chain, /must be in PEM/],
    [{ ...of(good), certificate: cut }, chain, /certificate 1 is not a certificate/],
    [{ ...of(good), certificate: request }, chain, /not "CERTIFICATE REQUEST"/],
    [{ ...of(good), certificate: good.cert + good.key }, chain, /give that as private_key/],
    [
      { ...of(good), certificate: good.cert + other.cert },
      chain,
      /certificate 2 did not issue the one before/,
    ],
    [{ ...of(good), certificate: good.cert.repeat(11) }, chain, /at most 10 certificates/],
    [{ ...of(good), certificate: 'x'.repeat(32_769) }, chain, /32768/],
    [
      of(certified('old', { notBefore: new Date(0), notAfter: new Date(1_000) })),
      chain,
      /has expired, at 1970/,
    ],
    [of(certified('new', { notBefore: inDays(1) })), chain, /is not valid before/],
    [{ ...of(good), private_key: 'hello' }, privateKey, /must be in PEM/],
    [{ ...of(good), private_key: good.cert }, privateKey, /not "CERTIFICATE"/],
    [{ ...of(good), private_key: good.key + other.key }, privateKey, /one key and nothing else/],
    [
      { ...of(good), private_key: good.key.replace(/\n[^\n]+\n-----END/, '\n-----END') },
      privateKey,
      /cannot be|can be read/,
    ],
    [{ ...of(good), private_key: encrypted }, privateKey, /without its passphrase/],
    [{ ...of(good), private_key: oldEncrypted }, privateKey, /without its passphrase/],
    [{ ...of(good), private_key: other.key }, privateKey, /its public key is another one/],
    [
      { certificate: good.cert + authority.cert, private_key: authority.key },
      privateKey,
      /belongs to certificate 2/,
    ],
    [of(rsa(1024)), privateKey, /2048 to 4096 bits, not 1024/],
    [of(koblitz), privateKey, /not on the curve secp256k1/],
    [of(edwards), privateKey, /RSA or EC key, not ed25519/],
    [{ ...of(good), private_key: 'x'.repeat(16_385) }, privateKey, /16384/],
    [{ certificate: good.cert }, privateKey, /./],
    [{ ...of(good), passphrase: 'x' }, '/client_certificate/passphrase', /./],
  ]
  for (const [given, pointer, detail] of cases) {
    const response = await tenant.patch(PATH, { client_certificate: given })
    const { errors = [] } = response.json<ProblemBody>()
    t.equal(response.statusCode, 400, String(detail))
    t.match(errors, [{ pointer, detail }], `${String(detail)} ${response.body}`)
    t.notMatch(response.body, /PRIVATE KEY-----\\n/)
  }
  const both = await tenant.post('/api/plugins', {
    name: 'Both',
    webhook_url: HTTPS_URL,
    client_certificate: { certificate: 'a', private_key: 'b' },
  })
  t.match(both.json<ProblemBody>().errors, [{ pointer: chain }, { pointer: privateKey }])
  t.match((await tenant.get(PATH)).json(), { revision: 1, client_certificate: null })
})

t.test('only admins give it or remove it, and it goes to another origin by an admin alone', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant, {
    webhook_url: HTTPS_URL,
    client_certificate: of(certified('plugin-a')),
    scopes: ['self:manage'],
  })
  const editor = await clientOf(service, tenant, 'editor')
  const admin = await clientOf(service, tenant, 'admin')
  const given = { client_certificate: of(certified('plugin-b')) }
  const refused = { status: 403, code: 'forbidden', detail: /role admin changes client_certificate/ }
  t.match((await editor.patch(PATH, given)).json(), refused)
  t.match((await editor.patch(PATH, { client_certificate: null })).json(), refused)
  t.match(
    (await editor.post('/api/plugins', { name: 'B', webhook_url: HTTPS_URL, ...given })).json(),
    refused,
  )
  t.match((await editor.patch(PATH, { timeout_ms: 2000 })).json(), { timeout_ms: 2000 })
  const elsewhere = { webhook_url: 'https://127.0.0.2:9/webhooks' }
  const itself = await clientOf(service, tenant, { pluginId: id })
  for (const moved of [elsewhere, { base_url: 'https://127.0.0.2:9' }]) {
    t.match((await itself.patch(PATH, moved)).json(), { status: 409, code: 'headers_needed' })
  }
  t.equal((await itself.patch(PATH, { webhook_url: `${HTTPS_URL}/2` })).statusCode, 200, 'at the same origin')
  t.match((await editor.patch(PATH, elsewhere)).json(), { status: 409, code: 'headers_needed' })
  t.match((await editor.put(PATH, { name: 'A', ...elsewhere })).json(), { code: 'headers_needed' })
  t.match((await admin.patch(PATH, { ...elsewhere, ...given })).json(), {
    client_certificate: { subject: 'CN=plugin-b' },
  })
  t.equal((await admin.patch(PATH, { client_certificate: null })).statusCode, 200)
  t.equal((await editor.patch(PATH, { webhook_url: HTTPS_URL })).statusCode, 200)
  t.equal((await itself.patch(PATH, elsewhere)).statusCode, 200, 'there is nothing to take along')
})

t.test('what may keep it from being of use is warned of', async (t) => {
  const tenant = service.tenant()
  const soon = certified('plugin-a', { notAfter: inDays(13), extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] })
  const { warnings } = await register(t, tenant, { client_certificate: of(soon) }).then(
    (plugin) => plugin as { warnings?: { pointer: string; detail: string }[] },
  )
  t.match(warnings, [
    { pointer: '/client_certificate', detail: /^ends at/ },
    { detail: /lacks clientAuth/ },
    { detail: /webhook_url, which is not https/ },
    { detail: /base_url, which is not https/ },
  ])
  const later = certified('plugin-a', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.2'] })
  const mended = await tenant.patch(PATH, { webhook_url: HTTPS_URL, client_certificate: of(later) })
  t.match(mended.json(), { warnings: undefined })
})

t.test('one that ends within 14 days is in the overview, and so is one that has ended', async (t) => {
  const tenant = service.tenant()
  const ends = inDays(13)
  const plugin = await register(t, tenant, {
    webhook_url: HTTPS_URL,
    client_certificate: of(certified('a', { notAfter: ends })),
  })
  await register(t, tenant, { slug: 'b', client_certificate: of(certified('b', { notAfter: inDays(15) })) })
  const attention = async () => (await tenant.get('/api/overview')).json<{ attention: object[] }>().attention
  t.match(await attention(), [
    {
      kind: 'certificate_expiring',
      target: { type: 'plugin', slug: plugin.slug },
      ends_at: `${ends.toISOString().slice(0, 19)}.000Z`,
    },
  ])
  t.equal((await attention()).length, 1)
  t.equal((await tenant.patch(PATH, { client_certificate: null })).statusCode, 200)
  await eventually('nothing is left to do', async () => (await attention()).length === 0)
})

t.test('nothing is left of it when the plugin is deleted', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant, { webhook_url: HTTPS_URL, client_certificate: of(certified('plugin-a')) })
  t.equal((await tenant.delete(PATH)).statusCode, 204)
  t.strictSame(await storedOf(tenant), { client_certificate_sealed: null, client_certificate_ends_at: null })
})
