import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { access, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { FIGURES } from '#bench/figures.ts'
import { DELIVERY_REASONS } from '#modules/webhook-delivery/log/schemas.ts'
import { generateSecret, parseSecret, signWebhook } from '#lib/secrets/signature.ts'
import { eventually } from '#test/support/deliveries.ts'
import { freePort } from '#test/support/free-port.ts'
import { anchors, codeBlocks, commandsOf, linkTargets, tableRows } from '#test/support/markdown.ts'
import { serve, temporaryFolder } from '#test/support/serve.ts'
import { CHILD_ENV } from '#test/support/child-env.ts'

const ROOT = resolve(import.meta.dirname, '..')
const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
const webhooks = await readFile(join(ROOT, 'docs/webhooks.md'), 'utf8')
const commands = codeBlocks(readme, 'sh').flatMap(commandsOf)

t.test("the README's quick start works as it is printed, from npm start to the delivery log", async (t) => {
  const server = await serve(t, {})
  t.teardown(async () => {
    // By itself, so that its Postgres ends, too.
    server.process.kill('SIGTERM')
    await server.exit
  })
  const serviceUrl = await server.url()
  const receiverPort = await freePort()
  // Somebody else's service may be on the ports that are printed.
  const here = (command: string): string =>
    command.replaceAll('http://127.0.0.1:3000', serviceUrl).replaceAll('4300', String(receiverPort))

  const receiver = startCommand(t, here(commands.find((command) => command.startsWith('node -e')) ?? ''))
  await accepting(receiverPort)
  const curl = await curlIn(t)
  const lines = commands.filter((command) => command.startsWith('curl '))
  const [register = '', send = '', log = '', plugin = '', ...others] = lines
  t.strictSame(others, [])

  const registered = await curl(here(register))
  t.equal(registered.status, 201, registered.body)
  t.match(JSON.parse(registered.body), { slug: 'first-webhook', secret: /^whsec_/ })
  const sent = await curl(here(send))
  t.equal(sent.status, 202, sent.body)
  t.match(JSON.parse(sent.body), { deliveries: 1 })
  await eventually('it is received', () =>
    /webhook-signature[\s\S]*"event":"product\.created"/.test(receiver.output()),
  )
  await eventually('it is in the log', async () => {
    const { status, body } = await curl(here(log))
    t.equal(status, 200, body)
    const { data } = JSON.parse(body) as { data: { status: string }[] }
    return data.length === 1 && data[0]?.status === 'sent'
  })
  const read = await curl(here(plugin))
  t.equal(read.status, 200, read.body)
  t.match(JSON.parse(read.body), { health: { state: 'healthy' } })
})

t.test('the README names scripts that there are', async (t) => {
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  t.equal(scripts['start'], 'node src/server.ts', 'what the quick start is tested with')
  const named = [...readme.matchAll(/npm (?:run ([\w:]+)|(start|test)\b)/g)].map(
    ([, run, own]) => run ?? own ?? '',
  )
  t.ok(named.length > 0)
  for (const name of named) t.ok(scripts[name], `npm run ${name}`)
})

t.test("the README's map names every module", async (t) => {
  const modules = await readdir(join(ROOT, 'src/modules'))
  const named = tableRows(readme).map(([folder = '']) => folder)
  const listed = named.flatMap((folder) => /^`src\/modules\/(.+)`$/.exec(folder)?.[1] ?? [])
  t.strictSame(listed.sort(), modules.sort())
})

t.test('every file that the README names is there', async (t) => {
  const named = [...readme.matchAll(/`((?:src|db|test|openapi|examples|bench|docs)(?:\/[\w./-]+)?)`/g)]
  const run = [...readme.matchAll(/npx tap (\S+?)`/g)]
  const paths = [...named, ...run].map(([, path = '']) => path)
  t.ok(paths.length > 20)
  for (const path of paths) await t.resolves(access(join(ROOT, path)), path)
})

t.test('docs/architecture.md names every table', async (t) => {
  const generated = await readFile(join(ROOT, 'db/generated.ts'), 'utf8')
  const [, members = ''] = /export interface DB \{([^}]*)\}/.exec(generated) ?? []
  const tables = [...members.matchAll(/^ {2}(\w+):/gm)].map(([, table = '']) => table)
  t.ok(tables.length > 0)
  const page = await readFile(join(ROOT, 'docs/architecture.md'), 'utf8')
  const named = tableRows(page).flatMap(([names = '']) => names.split(', '))
  for (const table of tables) t.ok(named.includes(`\`${table}\``), table)
})

t.test('docs/performance.md has what its figures and the profile say today', async (t) => {
  const page = await readFile(join(ROOT, 'docs/performance.md'), 'utf8')
  for (const { title, about } of FIGURES) t.ok(page.includes(`## ${title}\n\n${about}\n`), title)
  t.ok(page.endsWith(await readFile(join(ROOT, 'bench/where-the-time-goes.md'), 'utf8')))
})

/** By figure, how the names of its rows begin. */
const ROWS: Readonly<Record<string, string>> = {
  'intake-single': 'intake, one event',
  'intake-batch': 'intake, batches',
  delivery: 'delivery, ',
  'delivery-ordered': 'delivery in order, ',
  coalescing: 'coalescing, ',
  latency: 'request to arrival',
  'dead-endpoints': 'live ones beside',
  'noisy-tenant': 'small tenants beside',
  'live-beside-replay': 'live beside a replay',
  fairness: 'beside ',
  statements: 'statements ',
  statistics: 'statistics, ',
  memory: 'worker memory',
  storage: 'disk of an event, ',
  discovery: 'find work',
  dispatch: 'dispatch',
  'action-discovery': 'discovery of',
  'flow-throughput': 'executions of a flow',
  'flow-latency': 'event to first action',
  'flow-length': 'a step of a flow',
  'flow-waiting': 'start with',
}

t.test('docs/performance.md has rows of every figure', async (t) => {
  const page = await readFile(join(ROOT, 'docs/performance.md'), 'utf8')
  const names = tableRows(page).map(([name = '']) => name)
  t.strictSame(Object.keys(ROWS).sort(), FIGURES.map(({ name }) => name).sort())
  for (const { name } of FIGURES) {
    t.ok(
      names.some((row) => row.startsWith(ROWS[name] ?? '-')),
      name,
    )
  }
})

t.test('every relative link leads somewhere, anchors included', async (t) => {
  const pages = [
    'README.md',
    'CHANGELOG.md',
    ...(await readdir(join(ROOT, 'docs'), { recursive: true }))
      .filter((name) => name.endsWith('.md'))
      .map((name) => join('docs', name)),
  ]
  for (const page of pages) {
    const text = await readFile(join(ROOT, page), 'utf8')
    for (const target of linkTargets(text)) {
      if (/^[a-z]+:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? join(ROOT, page) : resolve(ROOT, dirname(page), path)
      const exists = await access(file).then(
        () => true,
        () => false,
      )
      t.ok(exists, `${page} → ${target}`)
      if (!exists || anchor === undefined) continue
      const found = anchors(await readFile(file, 'utf8')).has(anchor)
      t.ok(found, `${page} → ${target}: ${relative(ROOT, file)} has that heading`)
    }
  }
})

t.test('the error classes in docs/webhooks.md are those of the schema', async (t) => {
  const schema = await readFile(join(ROOT, 'db/schema.ts'), 'utf8')
  const [, union = ''] = /export type ErrorClass =((?:\s+\| '\w+')+)/.exec(schema) ?? []
  const classes = [...union.matchAll(/'(\w+)'/g)].map(([, name]) => name)
  t.ok(classes.length > 0)
  const section = webhooks.split('\n## ').find((text) => text.startsWith('Error classes')) ?? ''
  const documented = tableRows(section).slice(1)
  t.strictSame(
    documented.map(([name = '']) => name.replaceAll('`', '')),
    classes,
  )
})

t.test('the reasons in docs/webhooks.md are those of the schema', async (t) => {
  const section = webhooks.split('\n## ').find((text) => text.startsWith('Why a delivery waits')) ?? ''
  const told = tableRows(section).flatMap(([reasons = '']) =>
    [...reasons.matchAll(/`(\w+)`/g)].map((m) => m[1]),
  )
  t.strictSame(told.toSorted(), [...DELIVERY_REASONS].toSorted())
})

const receivers = codeBlocks(webhooks, 'js')
const hasPython = spawnSync('python3', ['--version']).status === 0
const mustRun = process.env['CI'] === 'true'
const runs = [
  ...['standardwebhooks', 'svix', 'by hand'].map((name, index) => ({
    name,
    skip: false,
    file: process.execPath,
    args: ['--input-type=module', '-e', receivers[index] ?? ''],
  })),
  {
    name: 'Python',
    skip: !hasPython && !mustRun && 'no python3',
    file: 'python3',
    args: ['-c', codeBlocks(webhooks, 'python')[0] ?? ''],
  },
]
t.equal(receivers.length, runs.length - 1)
for (const { name, skip, file, args } of runs) {
  const title = `the receiver in docs/webhooks.md accepts what is signed, and nothing else: ${name}`
  t.test(title, { skip }, async (t) => {
    const secret = generateSecret()
    const port = await freePort()
    startProcess(t, file, args, { PORT: String(port), WEBHOOK_SECRET: secret })
    await accepting(port)
    const post = async (changes: Partial<Signed> = {}): Promise<number> => {
      const signed = { ...signedBy([secret]), ...changes }
      return statusOf(port, signed)
    }

    t.equal(await post(), 204)
    t.equal(await post(signedBy([generateSecret(), secret])), 204, 'while the secret is being rotated')
    t.equal(await post(signedBy([generateSecret()])), 400, 'another secret')
    t.equal(await post({ body: '{"event":"product.deleted"}' }), 400, 'another body')
    t.equal(await post({ id: crypto.randomUUID() }), 400, 'another id')
    t.equal(await post(signedBy([secret], -301)), 400, 'too old')
    // A second later it is no longer too new: one that a busy machine carried for so long says nothing.
    for (;;) {
      const beganAt = Date.now()
      const status = await post(signedBy([secret], 302))
      if (Date.now() - beganAt >= 1_000) continue
      t.equal(status, 400, 'too new')
      break
    }
    t.equal(await post({ signature: 'v1' }), 400, 'no signature')
    const bare = await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body: '{}' })
    t.equal(bare.status, 400, 'no headers')
    t.equal(await post(), 204, 'it is still there')
  })
}

interface Signed {
  id: string
  timestampSeconds: number
  signature: string
  body: string
}

function signedBy(secrets: readonly string[], offsetSeconds = 0): Signed {
  const message = {
    id: crypto.randomUUID(),
    timestampSeconds: Math.floor(Date.now() / 1000) + offsetSeconds,
    body: '{"event":"product.created","data":{"product_id":"prod_1","name":"Linen apron, naïve"}}',
  }
  return { ...message, signature: signWebhook(message, secrets.map(parseSecret)) }
}

async function statusOf(port: number, { id, timestampSeconds, signature, body }: Signed): Promise<number> {
  const { status } = await fetch(`http://127.0.0.1:${port}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(timestampSeconds),
      'webhook-signature': signature,
    },
    body,
  })
  return status
}

/** Runs a curl command by the shell as it stands; its configuration has curl tell the status, too. */
async function curlIn(t: Test): Promise<(command: string) => Promise<{ status: number; body: string }>> {
  const home = await temporaryFolder(t)
  await writeFile(join(home, '.curlrc'), 'silent\nshow-error\nwrite-out = "\\n%{http_code}"\n')
  return async (command) => {
    const { child, output } = startProcess(t, 'sh', ['-c', command], { CURL_HOME: home })
    await once(child, 'close')
    const at = output().lastIndexOf('\n')
    return { status: Number(output().slice(at + 1)), body: output().slice(0, at) }
  }
}

function startCommand(t: Test, command: string): { output: () => string } {
  return startProcess(t, 'sh', ['-c', `exec ${command}`], {})
}

function startProcess(
  t: Test,
  file: string,
  args: string[],
  env: Record<string, string>,
): { child: ChildProcess; output: () => string } {
  const child = spawn(file, args, {
    cwd: ROOT,
    env: { ...CHILD_ENV, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.kill()
    await closed
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  }
  return { child, output: () => text }
}

/** Resolves once somebody accepts connections there. */
async function accepting(port: number): Promise<void> {
  await eventually('it listens', () =>
    fetch(`http://127.0.0.1:${port}`).then(
      () => true,
      () => false,
    ),
  )
}
