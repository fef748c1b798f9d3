import { execFile } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { generateApiKey, hashApiKey } from '#lib/secrets/api-key.ts'
import { newId } from '#lib/ids.ts'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { type Server, serve, temporaryFolder } from '#test/support/serve.ts'

const execute = promisify(execFile)
const MASTER_KEY = Buffer.alloc(32, 7).toString('base64')

t.test(
  'with nothing configured it is open for its own machine, says so, and ends with exit code 0',
  async (t) => {
    const directory = await temporaryFolder(t)
    const server = await serve(t, {}, directory)
    const url = await server.url()
    const warning = await server.line(/^open mode/)
    t.equal(warning.level, 'warn')
    t.match(warning.msg, '11111111-1111-1111-1111-111111111111')

    t.equal(await statusOfTried(server), '200')
    t.equal((await fetch(`${url}/health/ready`)).status, 200)

    const keyFile = join(directory, 'master.key')
    t.equal((await stat(keyFile)).mode & 0o777, 0o600)
    const key = (await readFile(keyFile, 'utf8')).trim()
    t.equal(Buffer.from(key, 'base64').length, 32)
    t.notMatch(server.output(), key)

    server.process.kill('SIGTERM')
    t.strictSame(await server.exit, { code: 0, signal: null }, 'in time: otherwise it ends itself with 1')

    const again = await serve(t, {}, directory)
    await again.url()
    t.equal((await readFile(keyFile, 'utf8')).trim(), key, 'the next start uses the same master key')
    again.process.kill('SIGINT')
    t.strictSame(await again.exit, { code: 0, signal: null })
  },
)

/** Pastes the curl of the start log into a shell, as it stands in the output. @returns the status that it gets */
async function statusOfTried(server: Server): Promise<string> {
  await server.line(/Try: curl/)
  const [, command = ''] = /Try: (curl [^"]*)"/.exec(server.output()) ?? []
  const { stdout } = await execute('sh', ['-c', `${command} -s -o /dev/null -w '%{http_code}'`])
  return stdout
}

const refusals: [what: string, env: Record<string, string>, mentions: RegExp][] = [
  ['an unusable variable', { PORT: 'many', ROLES: 'cook' }, /PORT: .*\n.*ROLES: /],
  ['an unusable exception for outgoing requests', { EGRESS_ALLOW: 'a b' }, /EGRESS_ALLOW: /],
  ['a key, but no master key', { PLATFORM_KEY: TEST_PLATFORM_KEY }, /MASTER_KEY: .*openssl rand -base64 32/],
  [
    'a host that others reach, and no key',
    { HOST: '0.0.0.0', MASTER_KEY },
    /HOST: .*PLATFORM_KEY.*npm run key/,
  ],
]

for (const [what, env, mentions] of refusals) {
  t.test(`exit code 2 and what to do about it: ${what}`, async (t) => {
    const { url } = await createTestDatabase(t)
    const server = await serve(t, { DATABASE_URL: url, ...env })
    t.strictSame(await server.exit, { code: 2, signal: null })
    t.match(server.output(), mentions)
    t.notMatch(server.output(), /\bat .*\.ts:\d+/)
  })
}

t.test('a key in the database closes the service: no open mode, and other hosts may be served', async (t) => {
  const { url, db } = await createTestDatabase(t)
  const key = generateApiKey()
  await db
    .insertInto('api_keys')
    .values({ id: newId(), kind: 'platform', name: 'ops', prefix: key.slice(0, 12), hash: hashApiKey(key) })
    .execute()
  const server = await serve(t, { DATABASE_URL: url, HOST: '0.0.0.0', MASTER_KEY })
  const { port } = new URL(await server.url())
  t.equal(await statusOfTried(server), '200')
  t.equal((await fetch(`http://127.0.0.1:${port}/api/plugins`)).status, 401)
  t.notMatch(server.output(), 'open mode')
  const headers = { authorization: `Bearer ${key}`, 'x-tenant-id': newId() }
  t.equal((await fetch(`http://127.0.0.1:${port}/api/plugins`, { headers })).status, 200)
})

t.test('the log tells the configuration without its secrets', async (t) => {
  const { url } = await createTestDatabase(t)
  const server = await serve(t, { DATABASE_URL: url, MASTER_KEY, PLATFORM_KEY: TEST_PLATFORM_KEY })
  await server.url()
  const { password } = new URL(url)
  for (const secret of [MASTER_KEY, TEST_PLATFORM_KEY, password]) {
    if (secret !== '') t.notMatch(server.output(), secret)
  }
  t.match(await server.line(/^starting/), { environment: { MASTER_KEY: '[redacted]', ROLES: 'api,worker' } })
})
