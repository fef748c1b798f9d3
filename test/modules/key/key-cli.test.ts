import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { ApiKeyWithSecret } from '#modules/key/schemas.ts'
import { clientFor, startApp } from '#test/support/app.ts'
import { CHILD_ENV } from '#test/support/child-env.ts'

const CLI = fileURLToPath(new URL('../../../src/key-cli.ts', import.meta.url))
const UNKNOWN_ID = '00000000-0000-7000-8000-000000000000'

interface Result {
  exitCode: number | null
  stdout: string
  stderr: string
}

/** Away from the repository: no .env of the developer's, no .data of the developer's. */
const cwd = await mkdtemp(join(tmpdir(), 'bcs-key-cli-'))
t.teardown(() => rm(cwd, { recursive: true, force: true }))

async function run(env: Record<string, string>, ...args: string[]): Promise<Result> {
  const child = spawn(process.execPath, [CLI, ...args], { cwd, env: { ...CHILD_ENV, ...env } })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const exitCode = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { exitCode, stdout, stderr }
}

t.test('on the database of a running service', async (t) => {
  const service = await startApp(t)
  const { app, databaseUrl } = service
  const key = async (...args: string[]) => run({ DATABASE_URL: databaseUrl }, ...args)
  const tenant = service.tenant()

  t.test('a new platform key is all of standard output, and works', async (t) => {
    const { exitCode, stdout, stderr } = await key('create', '--kind', 'platform', '--name', 'ops')
    t.equal(exitCode, 0, stderr)
    t.match(stdout, /^bcs_[A-Za-z0-9_-]{43}\n$/)
    t.notOk(stderr.includes(stdout.trim()))
    t.equal((await clientFor(app, tenant.id, stdout.trim()).get('/api/keys')).statusCode, 200)
  })

  t.test("a tenant's key is made also when the service has not seen the tenant yet", async (t) => {
    const fresh = service.tenant()
    const args = ['--kind', 'tenant', '--name', 'backend', '--tenant', fresh.id, '--role', 'viewer']
    const { stdout, stderr } = await key('create', ...args)
    t.equal((await clientFor(app, fresh.id, stdout.trim()).get('/api/tenant')).statusCode, 200, stderr)
    const log = (await fresh.get('/api/audit-log')).json<{ data: { action: string; actor_kind: string }[] }>()
    t.match(log.data, [{ action: 'key.created', actor_kind: 'operator' }])
  })

  t.test('keys are listed without what is secret', async (t) => {
    const made = await tenant.post('/api/keys', { name: 'till', kind: 'tenant', role: 'editor' })
    const { id, key: secret, prefix } = made.json<ApiKeyWithSecret>()
    const { stdout } = await key('list', '--tenant', tenant.id)
    t.equal(stdout, `${[id, 'tenant', 'editor', prefix, 'live', 'till'].join('\t')}\n`)
    t.notOk(stdout.includes(secret))
    t.notOk((await key('list')).stdout.includes(id), 'without a tenant it lists platform keys')
  })

  t.test('a running service refuses a revoked key at once', async (t) => {
    const made = await tenant.post('/api/keys', { name: 'lost', kind: 'tenant', role: 'viewer' })
    const { id, key: secret } = made.json<ApiKeyWithSecret>()
    const client = clientFor(app, tenant.id, secret)
    const told = new Promise<void>((resolve) => {
      app.signals.subscribe('key_changed', (ids) => {
        if (ids.includes(id)) resolve()
      })
    })
    t.equal((await client.get('/api/tenant')).statusCode, 200)
    t.equal((await key('revoke', id, '--tenant', tenant.id)).exitCode, 0)
    await told
    t.equal((await client.get('/api/tenant')).statusCode, 401)
    t.match((await key('list', '--tenant', tenant.id)).stdout, new RegExp(`${id}.*revoked`))
  })

  t.test('what the service refuses fails with the reason', async (t) => {
    const unknown = await key('revoke', UNKNOWN_ID)
    t.equal(unknown.exitCode, 1)
    t.match(unknown.stderr, /Check the id/)
    const plugin = await key(
      ...['create', '--kind', 'plugin', '--name', 'x', '--tenant', tenant.id, '--plugin', 'nobody'],
    )
    t.equal(plugin.exitCode, 1)
    t.match(plugin.stderr, /\/plugin names no plugin of this tenant/)
    t.equal(plugin.stdout, '')
  })
})

t.test('a command line that makes no sense is answered with the usage, before any database', async (t) => {
  const tenant = crypto.randomUUID()
  const cases: [string, RegExp][] = [
    ['', /create, list, revoke or reseal/],
    ['create --name x', /--kind must be/],
    ['create --kind tenant --name x --role admin', /--tenant is needed/],
    ['create --kind tenant --name x --role admin --tenant shop', /--tenant must be a UUID/],
    [`create --kind tenant --name x --role owner --tenant ${tenant}`, /--role must be/],
    [`create --kind platform --name x --tenant ${tenant}`, /has no --tenant/],
    ['list --name x', /takes no option but --tenant/],
    ['revoke 17', /needs the key's id/],
    ['list --verbose', /--verbose/],
  ]
  const closed = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nowhere' }
  for (const [line, message] of cases) {
    const { exitCode, stdout, stderr } = await run(closed, ...line.split(' ').filter(Boolean))
    t.equal(exitCode, 2, line)
    t.match(stderr, message)
    t.match(stderr, /Usage:/)
    t.equal(stdout, '')
  }
  t.match((await run(closed, '--help')).stdout, /Usage:/)
})

t.test(
  'without DATABASE_URL it works on the embedded database, which the next command finds again',
  async (t) => {
    const env = { DATA_DIR: join(cwd, 'data') }
    const created = await run(env, 'create', '--kind', 'platform', '--name', 'first')
    t.equal(created.exitCode, 0, created.stderr)
    t.match(created.stdout, /^bcs_/)
    const listed = await run(env, 'list')
    t.match(listed.stdout, new RegExp(`platform\t-\t${created.stdout.slice(0, 12)}\tlive\tfirst`))
  },
)
