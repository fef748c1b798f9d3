import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib'
import Fastify from 'fastify'
import t from 'tap'
import webConsole from '#infra/http/console.ts'
import problems from '#infra/http/problems.ts'
import { appOn } from '#test/infra/app-on.ts'
import { createTestDatabase } from '#test/support/database.ts'

const PAGE = '<!doctype html><title>Console</title>'
const SCRIPT = 'console.log("console")'

/** A folder as the build leaves it. */
async function builtFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bcs-console-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await mkdir(join(folder, 'assets'))
  await writeFile(join(folder, 'index.html'), PAGE)
  await writeFile(join(folder, 'assets/app-1a2b.js'), SCRIPT)
  await writeFile(join(folder, 'assets/app-1a2b.js.br'), brotliCompressSync(SCRIPT))
  await writeFile(join(folder, 'assets/app-1a2b.js.gz'), gzipSync(SCRIPT))
  await writeFile(join(folder, '.stamp'), 'secret of the build')
  return folder
}

async function serve(folder: string, frameAncestors: readonly string[] = []) {
  const app = Fastify()
  await app.register(problems)
  await app.register(webConsole, { frameAncestors, folder })
  t.teardown(() => app.close())
  return app
}

const built = await serve(await builtFolder())

t.test('every address below /console is the page, with a policy that lets nothing else in', async (t) => {
  for (const url of ['/console', '/console/', '/console/plugins/mailer?tab=actions', '/console/flows/new']) {
    const answer = await built.inject({ url })
    t.equal(answer.statusCode, 200, url)
    t.equal(answer.body, PAGE)
    t.match(answer.headers['content-type'], /^text\/html/)
    t.equal(answer.headers['cache-control'], 'no-store')
    t.equal(answer.headers['referrer-policy'], 'no-referrer')
    const policy = String(answer.headers['content-security-policy']).split('; ')
    t.ok(policy.includes("default-src 'none'"))
    t.ok(policy.includes("script-src 'self'"))
    t.ok(policy.includes("frame-ancestors 'none'"))
    t.ok(policy.includes("require-trusted-types-for 'script'"))
    t.notMatch(policy.filter((each) => !each.startsWith('style-src-attr')).join(), /unsafe/)
  }
  t.equal((await built.inject({ method: 'HEAD', url: '/console/plugins' })).statusCode, 200)
  t.match((await built.inject({ method: 'POST', url: '/console/plugins' })).json(), {
    code: 'method_not_allowed',
  })
})

t.test('files keep their name for ever, and go out compressed as they were built', async (t) => {
  const url = '/console/assets/app-1a2b.js'
  const plain = await built.inject({ url })
  t.equal(plain.statusCode, 200)
  t.equal(plain.body, SCRIPT)
  t.match(plain.headers['content-type'], /javascript/)
  t.equal(plain.headers['cache-control'], 'public, max-age=31536000, immutable')
  t.equal(plain.headers['x-content-type-options'], 'nosniff')
  const brotli = await built.inject({ url, headers: { 'accept-encoding': 'gzip, br' } })
  t.equal(brotli.headers['content-encoding'], 'br')
  t.equal(brotliDecompressSync(brotli.rawPayload).toString(), SCRIPT)
  const gzip = await built.inject({ url, headers: { 'accept-encoding': 'gzip' } })
  t.equal(gzip.headers['content-encoding'], 'gzip')
  t.equal(gunzipSync(gzip.rawPayload).toString(), SCRIPT)
})

t.test('nothing but the files of the build is served', async (t) => {
  for (const path of [
    'nothing.js',
    '../index.html',
    '..%2findex.html',
    '%2e%2e/.stamp',
    '..%2f..%2f..%2fpackage.json',
    'app-1a2b.js%00',
    '',
  ]) {
    const answer = await built.inject({ url: `/console/assets/${path}` })
    t.notMatch(answer.body, /secret of the build|"dependencies"/, path)
    t.ok(answer.statusCode === 404 || answer.body === PAGE, `${path}: ${answer.statusCode}`)
  }
  t.equal((await built.inject({ url: '/console/.stamp' })).body, PAGE)
})

t.test('the pages that may frame it are those of the setting', async (t) => {
  const framed = await serve(await builtFolder(), ['https://admin.example.com', 'https://two.example'])
  const { headers } = await framed.inject({ url: '/console' })
  t.match(
    headers['content-security-policy'],
    /frame-ancestors https:\/\/admin\.example\.com https:\/\/two\.example;/,
  )
})

t.test('without a build the page says how to make one', async (t) => {
  const bare = await serve(join(tmpdir(), 'bcs-console-that-nobody-built'))
  const answer = await bare.inject({ url: '/console/plugins' })
  t.equal(answer.statusCode, 503)
  t.match(answer.body, /npm run console:build/)
  t.match(answer.headers['content-security-policy'], /default-src 'none'/)
  t.equal((await bare.inject({ url: '/console/assets/app.js' })).statusCode, 404)
})

t.test('the service serves it without a key, unless it is off or the process is a worker only', async (t) => {
  const { url: databaseUrl } = await createTestDatabase(t)
  const page = { url: '/console/plugins' }
  const withConsole = await appOn(t, databaseUrl)
  t.notSame((await withConsole.inject(page)).headers['content-security-policy'], undefined)
  for (const env of [{ CONSOLE: 'off' }, { ROLES: 'worker' }]) {
    const without = await appOn(t, databaseUrl, { env })
    t.match((await without.inject(page)).json(), { code: 'route_not_found' })
  }
})
