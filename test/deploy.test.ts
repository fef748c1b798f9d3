import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { builtinModules } from 'node:module'
import type { AddressInfo } from 'node:net'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import semver from 'semver'
import t from 'tap'
import { parse } from 'yaml'
import { environmentVariables, loadConfig } from '#config/config.ts'
import { codeBlocks } from '#test/support/markdown.ts'

const ROOT = resolve(import.meta.dirname, '..')
/** docs/operations.md, "Stopping". */
const CLOSING_MS = 10_000
const run = promisify(execFile)
const read = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8')

interface Service {
  image: string
  build?: string
  command?: string[]
  environment: Record<string, string | number>
  depends_on?: Record<string, { condition: string }>
  healthcheck?: { test?: string[]; disable?: boolean }
  ports?: string[]
  volumes?: string[]
  stop_grace_period?: string
}

const composeText = await read('docker-compose.yml')
const compose = parse(composeText, { merge: true }) as {
  services: Record<'postgres' | 'migrate' | 'api' | 'worker', Service>
  volumes: Record<string, unknown>
}
const dockerfile = await read('Dockerfile')
const { scripts, engines, dependencies } = JSON.parse(await read('package.json')) as {
  scripts: Record<string, string>
  engines: { node: string }
  dependencies: Record<string, string>
}

/** The exec form that an instruction of the Dockerfile ends with. */
function execForm(instruction: RegExp): string[] {
  const [, json = ''] = new RegExp(`${instruction.source}[^[]*(\\[.*\\])$`, 'm').exec(dockerfile) ?? []
  return JSON.parse(json) as string[]
}

t.test('compose starts Postgres, one migration, and then an API and workers', async (t) => {
  const { postgres, migrate, api, worker } = compose.services
  t.equal(postgres.image, 'postgres:18')
  t.ok(postgres.healthcheck?.test)
  t.strictSame(postgres.volumes, ['postgres:/var/lib/postgresql'])
  t.ok('postgres' in compose.volumes)
  t.strictSame(migrate.depends_on, { postgres: { condition: 'service_healthy' } })
  for (const service of [api, worker]) {
    t.strictSame(service.depends_on, { migrate: { condition: 'service_completed_successfully' } })
    t.equal(service.environment['HOST'], '0.0.0.0')
  }
  t.equal(api.environment['ROLES'], 'api')
  t.equal(worker.environment['ROLES'], 'worker')
  t.notOk(worker.ports, 'a worker can be scaled: nothing of it is published')
})

t.test('compose kills nobody who still drains, whatever DRAIN_MS is', async (t) => {
  const [, mostMs] = /DRAIN_MS: .* to (\d+)/.exec(refusalOf('DRAIN_MS', '-1')) ?? []
  t.ok(Number(mostMs) >= 60_000, 'the highest that is taken')
  for (const { stop_grace_period } of [compose.services.api, compose.services.worker]) {
    const [, seconds] = /^(\d+)s$/.exec(stop_grace_period ?? '') ?? []
    t.ok(Number(seconds) * 1_000 > Number(mostMs) + CLOSING_MS, String(stop_grace_period))
  }
})

function refusalOf(name: string, value: string): string {
  try {
    loadConfig({ [name]: value }, null)
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

t.test('what compose and the image run is what npm start and npm run db:migrate run', async (t) => {
  const { migrate, api, worker } = compose.services
  t.equal(migrate.command?.join(' '), scripts['db:migrate'])
  t.equal(execForm(/^CMD /).join(' '), scripts['start'])
  t.notOk(api.command)
  t.notOk(worker.command)
  for (const file of [migrate.command?.[1], execForm(/^CMD /)[1]]) await access(join(ROOT, file ?? 'missing'))
})

t.test("the image's health check succeeds only while the service says it lives", async (t) => {
  const [program, ...args] = execForm(/^HEALTHCHECK [^\n]*\n\s*CMD /)
  t.equal(program, 'node')
  const asked: (string | undefined)[] = []
  let status = 200
  const server = createServer((request, response) => {
    asked.push(request.url)
    response.writeHead(status).end()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const check = async (): Promise<unknown> => {
    const child = spawn(process.execPath, args, { env: { PORT: String(port) }, stdio: 'ignore' })
    const [exitCode] = (await once(child, 'exit')) as [number]
    return exitCode
  }
  t.equal(await check(), 0)
  t.strictSame(asked, ['/health/live'])
  status = 503
  t.equal(await check(), 1)
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
  t.equal(await check(), 1)
})

t.test('the image runs unprivileged', async (t) => {
  t.match(dockerfile, /^USER node$/m)
  t.match(dockerfile, /^FROM node:24-slim$/m)
})

t.test('no secret has a default in compose', async (t) => {
  for (const name of ['POSTGRES_PASSWORD', 'MASTER_KEY', 'PLATFORM_KEY']) {
    t.match(composeText, `\${${name}:?`)
    t.notMatch(composeText, new RegExp(`\\$\\{${name}(:-|-|\\})`))
  }
})

const hasCompose = await run('docker', ['compose', 'version']).then(
  ({ stdout }) => / v?(?:[2-9]|\d\d+)\.\d/.test(stdout),
  () => false,
)
const asksCompose = {
  skip: hasCompose ? false : 'there is no Docker Compose 2 (nor has CI one: Debian’s package is version 1)',
}

t.test('docker compose reads the file as it is meant', asksCompose, async (t) => {
  const secrets = { POSTGRES_PASSWORD: 'password', MASTER_KEY: 'master', PLATFORM_KEY: 'platform' }
  const config = (given: Record<string, string>): Promise<{ stdout: string; stderr: string }> => {
    // Neither variables of the one who runs the tests nor their .env.
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], ...given }
    const file = ['--env-file', '/dev/null', '-f', join(ROOT, 'docker-compose.yml')]
    return run('docker', ['compose', ...file, 'config', '--format', 'json'], { env })
  }
  const { services } = JSON.parse((await config(secrets)).stdout) as {
    services: Record<string, { environment: Record<string, string>; depends_on?: unknown }>
  }
  t.strictSame(Object.keys(services).sort(), Object.keys(compose.services).sort())
  t.match(services['worker'], {
    environment: { ROLES: 'worker', MASTER_KEY: 'master', DATABASE_URL: /:password@postgres:5432/ },
    depends_on: { migrate: { condition: 'service_completed_successfully' } },
  })
  t.match(services['migrate'], { depends_on: { postgres: { condition: 'service_healthy' } } })
  for (const name of Object.keys(secrets)) {
    const refused = await config({ ...secrets, [name]: '' }).catch((error: unknown) => error)
    t.match(refused, { stderr: new RegExp(`${name}.*set it in \\.env`), code: Number })
  }
})

t.test('two APIs behind HAProxy: its configuration is the documented one', async (t) => {
  const balanced = parse(await read('docker-compose.balanced.yml'), {
    merge: true,
    customTags: [{ tag: '!reset', collection: 'seq', resolve: (items) => items }],
  }) as { services: Record<'api' | 'api2' | 'balancer', Service> }
  const { api, api2, balancer } = balanced.services
  t.match(api2, { extends: { file: 'docker-compose.yml', service: 'api' } })
  t.strictSame(balancer.ports, compose.services.api.ports, 'on the port that one API had')
  t.ok(balancer.volumes?.[0]?.startsWith('./deploy/compose/haproxy.cfg:'))
  const config = await read('deploy/compose/haproxy.cfg')
  const set = new Set(config.split('\n').map((line) => line.trim()))
  const [documented = ''] = codeBlocks(await read('docs/operations.md'), 'haproxy')
  for (const line of documented.split('\n').map((each) => each.trim())) {
    if (line.startsWith('default-server')) t.match(config, line, 'and how the names are found')
    else if (!line.startsWith('server ')) t.ok(set.has(line), line)
  }
  const [, intervalS, fall] = /inter (\d+)s fall (\d+)/.exec(config) ?? []
  const [, timeoutS] = /timeout check (\d+)s/.exec(config) ?? []
  for (const one of [api, api2]) {
    const [, drainMs] = /:-(\d+)\}$/.exec(String(one.environment['DRAIN_MS'])) ?? []
    t.ok(Number(drainMs) > (Number(intervalS) * Number(fall) + Number(timeoutS)) * 1_000, drainMs ?? 'none')
    t.match(one.healthcheck?.test?.join(' '), '/health/ready')
  }
})

t.test('docker compose reads the file of two APIs as it is meant', asksCompose, async (t) => {
  const files = ['docker-compose.yml', 'docker-compose.balanced.yml'].flatMap((file) => [
    '-f',
    join(ROOT, file),
  ])
  const env = {
    PATH: process.env['PATH'],
    HOME: process.env['HOME'],
    ...{ POSTGRES_PASSWORD: 'password', MASTER_KEY: 'master', PLATFORM_KEY: 'platform' },
  }
  const args = ['compose', '--env-file', '/dev/null', ...files, 'config', '--format', 'json']
  const { stdout } = await run('docker', args, { env })
  const { services } = JSON.parse(stdout) as { services: Record<string, { ports?: unknown[] }> }
  for (const name of ['api', 'api2']) {
    t.match(services[name], { environment: { ROLES: 'api', DRAIN_MS: '5000' }, stop_grace_period: '1m15s' })
    t.notOk(services[name]?.ports?.length, 'only the balancer is published')
  }
  t.equal(services['balancer']?.ports?.length, 1)
})

t.test('compose passes every variable on that makes sense there', async (t) => {
  const ofTheMachine = ['DATA_DIR', 'DEFAULT_TENANT_ID', 'OPEN_TENANTS']
  const expected = environmentVariables().map(({ name }) => name)
  t.strictSame([...Object.keys(compose.services.api.environment), ...ofTheMachine].sort(), expected.sort())
})

t.test('.env.example shows exactly the variables there are, with their defaults', async (t) => {
  const lines = (await read('.env.example')).split('\n')
  const shown = lines.flatMap((line, index) => {
    const [, name, value] = /^#([A-Z_]+)=(.*)$/.exec(line) ?? []
    const description = lines[index - 1]?.slice(2) ?? ''
    if (name === undefined || description.startsWith('Docker Compose only')) return []
    return [{ name, default: value, description }]
  })
  t.strictSame(shown, environmentVariables())
  t.notOk(
    lines.some((line) => line !== '' && !line.startsWith('#')),
    'copied as it is, it changes nothing',
  )
})

t.test("the operator's table holds exactly the variables there are, with their defaults", async (t) => {
  const rows = [
    ...(await read('docs/operations.md')).matchAll(/^\| `([A-Z_]+)` +\| (?:`([^`]*)`|–) +\| (.*?) +\|$/gm),
  ].map(([, name, value = '', description = '']) => ({
    name,
    default: value,
    description: description.replaceAll('\\|', '|'),
  }))
  t.strictSame(rows, environmentVariables())
})

t.test(
  'the image has every file and package that the service, the migration and the commands import',
  async (t) => {
    const packages = new Set<string>()
    const files = new Set<string>()
    for (const entry of ['src/server.ts', 'db/migrate-cli.ts', 'src/key-cli.ts', 'src/doctor-cli.ts']) {
      await collectImports(join(ROOT, entry), packages, files)
    }
    t.ok(packages.has('fastify'))
    t.strictSame(
      [...packages].filter((name) => !(name in dependencies)),
      [],
    )
    const copied = [...(await read('Dockerfile')).matchAll(/^COPY (\S+) \1$/gm)].map(
      ([, folder]) => `${folder ?? ''}/`,
    )
    t.ok(copied.includes('src/'))
    t.strictSame(
      [...files]
        .map((file) => relative(ROOT, file))
        .filter((file) => !copied.some((folder) => file.startsWith(folder))),
      [],
    )
  },
)

/** Collects the packages that a file needs, itself or by its imports; type imports vanish before it runs. */
async function collectImports(file: string, packages: Set<string>, files: Set<string>): Promise<void> {
  if (files.has(file)) return
  files.add(file)
  const text = await readFile(file, 'utf8')
  const imports = /^(?:import|export) (?!type )(?:[\w$*{},\s]+ from )?'([^']+)'|\bimport\('([^']+)'\)/gm
  for (const [, from, lazily] of text.matchAll(imports)) {
    const specifier = from ?? lazily ?? ''
    if (specifier.startsWith('.')) {
      await collectImports(resolve(dirname(file), specifier), packages, files)
    } else if (specifier.startsWith('#')) {
      await collectImports(fileURLToPath(import.meta.resolve(specifier)), packages, files)
    } else if (!specifier.startsWith('node:') && !builtinModules.includes(specifier)) {
      const [scope = '', name = ''] = specifier.split('/')
      packages.add(scope.startsWith('@') ? `${scope}/${name}` : scope)
    }
  }
}

t.test('the documents ask for the Node that package.json asks for, and npm accepts it', async (t) => {
  const minimum = semver.minVersion(engines.node)?.version ?? 'none'
  for (const page of ['README.md', 'docs/operations.md', 'docs/plugin-authors.md']) {
    const named = [...(await read(page)).matchAll(/\bNode (\d[\d.]*) or newer/g)].map(
      ([, version]) => version,
    )
    t.strictSame(
      named.map((version) => semver.coerce(version)?.version),
      [minimum],
      page,
    )
  }
  const { packages } = JSON.parse(await read('package-lock.json')) as {
    packages: Record<string, { engines?: { node?: string } }>
  }
  t.strictSame(
    Object.entries(packages)
      .filter(([, { engines }]) => !semver.satisfies(minimum, engines?.node ?? '*'))
      .map(([name]) => name),
    [],
  )
  t.equal(packages['']?.engines?.node, engines.node)
})

t.test('continuous integration runs .ci/run, which runs scripts that exist', async (t) => {
  const workflow = parse(await read('.github/workflows/ci.yml')) as {
    jobs: { check: { steps: { run?: string }[] } }
  }
  t.ok(workflow.jobs.check.steps.some(({ run }) => run === '.ci/run'))
  const run = await read('.ci/run')
  for (const [, script = ''] of run.matchAll(/npm run ([a-z:]+)/g)) t.ok(scripts[script], script)
})
