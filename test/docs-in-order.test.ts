/**
 * The first pages in the order in which a newcomer reads them, on one service, every shell block as it is printed.
 * Each page has a terminal of its own; programs that the reader starts go on running during the next pages.
 */
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '#test/support/free-port.ts'
import {
  type Block,
  blocksOf,
  npmWithoutNetwork,
  openTerminal,
  type Program,
  startProgram,
  walkThrough,
  withPorts,
} from '#test/examples/guide.ts'
import { eventually } from '#test/support/deliveries.ts'
import { type Server, serve, temporaryFolder } from '#test/support/serve.ts'

const ROOT = resolve(import.meta.dirname, '..')
const PAGES = ['README.md', 'docs/plugin-authors.md', 'docs/platform.md', 'docs/webhooks.md', 'docs/flows.md']
/** The ports that the pages print, each of them for one program. */
const PRINTED_PORTS = [3000, 4000, 4100, 4200, 4201, 4300, 4400]
const SMTP_PORT = 1025
/** Of the README only this is for somebody who wants to see it work. */
const README_SECTION = 'Quick start'

/** A program that a page's block starts, by the block's name. */
interface Start {
  /** Null: the service, which is there. */
  port: number | null
  env?: Record<string, string>
}

t.test('the first pages work one after the other, on one service', async (t) => {
  const checkout = await checkoutOf(t)
  const env = { DATA_DIR: join(checkout, '.data') }
  await mkdir(env.DATA_DIR)
  const server = await serve(t, env, checkout)
  const url = await server.url()
  const ports: Record<number, number> = { [SMTP_PORT]: await freePort() }
  for (const printed of PRINTED_PORTS) ports[printed] = await freePort()
  ports[3000] = Number(new URL(url).port)
  const portOf = (printed: number): number => ports[printed] ?? printed
  const programs = new Map<string, { text: string; program: Program }>()
  const path = `${await npmWithoutNetwork(await temporaryFolder(t))}:${process.env['PATH'] ?? ''}`
  const starts: Record<string, Start> = {
    'README.md receiver': { port: portOf(4300) },
    'docs/plugin-authors.md plugin': { port: portOf(4200) },
    'docs/plugin-authors.md exports': { port: portOf(4201) },
    platform: { port: portOf(4000), env: { PORT: String(portOf(4000)), AUTOMATION_URL: url } },
    mailbox: { port: portOf(SMTP_PORT), env: { PORT: String(portOf(SMTP_PORT)) } },
    'email-plugin': {
      port: portOf(4100),
      env: {
        PORT: String(portOf(4100)),
        AUTOMATION_URL: url,
        SMTP_URL: `smtp://127.0.0.1:${portOf(SMTP_PORT)}`,
      },
    },
    'docs/webhooks.md receiver': { port: portOf(4400) },
  }
  /** The folder in which a page has its reader work. */
  const folders: Record<string, string> = {
    'docs/plugin-authors.md': join(checkout, 'my-plugin'),
    'docs/webhooks.md': join(checkout, '.data', 'order-desk'),
  }

  for (const page of PAGES) {
    const text = withPorts(await readFile(join(ROOT, page), 'utf8'), ports)
    const terminal = openTerminal(t, checkout, { PATH: path })
    const folder = folders[page] ?? checkout
    const named = async ({ language, name, text }: Block): Promise<void> => {
      if (name === 'service') {
        t.equal(text, 'npm install\nnpm start\n', `${page}: the service that runs`)
      } else if (name === 'setup') {
        await terminal.run(text)
      } else if (language !== 'sh') {
        await mkdir(folder, { recursive: true })
        await writeFile(join(folder, name), text)
      } else {
        const id = starts[name] === undefined ? `${page} ${name}` : name
        const start = starts[id]
        if (start === undefined) throw new Error(`${page} starts ${name}, which nobody knows`)
        const before = programs.get(id)
        if (before !== undefined && name !== 'exports') {
          t.equal(text, before.text, `${page}: ${name} runs already`)
          return
        }
        // The exporter is killed in the middle, and started again.
        await before?.program.kill()
        const program = startProgram(t, folder, text, start.env)
        programs.set(id, { text, program })
        await eventually(`${name} on port ${start.port}`, () => accepts(start.port))
      }
    }
    const blocks = blocksOf(page === 'README.md' ? sectionOf(text, README_SECTION) : text)
    const walked = blocks.filter(({ language, name }) => !isDefinition(page, language, name))
    t.ok(walked.filter(({ language }) => language === 'sh').length >= 6, page)
    await walkThrough(t, walked, { terminal, named })
  }

  const printed = (id: string): string => programs.get(id)?.program.output() ?? ''
  t.match(printed('README.md receiver'), /webhook-signature[\s\S]*"event":"product\.created"/)
  t.match(printed('docs/plugin-authors.md plugin'), 'action greet: Ada')
  t.match(printed('mailbox'), /^mail to ada@example\.com: /m)
  t.match(printed('docs/webhooks.md receiver'), 'order.created')

  await t.test('and at its next start the box about keys is true', (t) =>
    keysOnOneMachine(t, { checkout, env, server, platformUrl: `http://127.0.0.1:${portOf(4000)}` }),
  )
})

/** The shop of docs/platform.md. */
const TENANT = '22222222-2222-2222-2222-222222222222'
const AWAY = 'http://127.0.0.1:4500/webhooks'

async function keysOnOneMachine(
  t: Test,
  place: { checkout: string; env: Record<string, string>; server: Server; platformUrl: string },
): Promise<void> {
  const { checkout, env, platformUrl } = place
  const terminal = openTerminal(t, checkout, {})
  const key = await terminal.run('npm run --silent key -- create --kind platform --name late 2>/dev/null')
  const authorization = { authorization: `Bearer ${key.trim()}`, 'x-tenant-id': TENANT }
  const call = async (server: Server, method: string, path: string, body: object, headers = {}) => {
    const response = await fetch((await server.url()) + path, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  const plugin = { name: 'Late', webhook_url: AWAY, events: [] }
  await stop(place.server)

  const keyed = await serve(t, env, checkout)
  t.equal((await call(keyed, 'POST', '/api/plugins', plugin)).status, 401)
  t.match(await call(keyed, 'POST', '/api/plugins', plugin, authorization), {
    status: 422,
    body: { code: 'webhook_url_refused', detail: /EGRESS_ALLOW=127\.0\.0\.1:4500$/ },
  })
  await stop(keyed)

  const box = await readFile(join(ROOT, 'docs/operations.md'), 'utf8')
  const [, exception = ''] = /^EGRESS_ALLOW=(\S+) npm start$/m.exec(box) ?? []
  t.not(exception, '', 'the box has the exception')
  const allowing = await serve(t, { ...env, EGRESS_ALLOW: exception }, checkout)
  t.equal((await call(allowing, 'POST', '/api/plugins', plugin, authorization)).status, 201)
  const platform = { url: platformUrl, token: 'platform-dev-token' }
  t.equal((await call(allowing, 'PUT', '/api/tenant/platform', platform, authorization)).status, 200)
  const actions = [
    { action_type: 'create_customer', payload: { email: 'eva@example.com', name: 'Eva' } },
    {
      action_type: 'send_welcome_email',
      plugin_id: 'email-marketing',
      payload: { to: 'eva@example.com', template: 'welcome' },
    },
  ]
  t.match(
    await call(allowing, 'POST', '/api/plugins/events/automation', { events: actions }, authorization),
    { status: 200, body: { summary: { total: 2, succeeded: 2 } } },
    'the platform and the plugin of docs/platform.md are called with keys, too',
  )
  await stop(allowing)

  t.match(await terminal.run('npm run --silent reset -- --yes'), /^Removed /)
  const open = await serve(t, env, checkout)
  t.equal((await call(open, 'POST', '/api/plugins', plugin)).status, 201)
  await stop(open)
}

async function stop(server: Server): Promise<void> {
  // By itself, so that its Postgres ends, too.
  server.process.kill('SIGTERM')
  await server.exit
}

/** The files of this checkout in a folder with nothing of its developer's: no data, no .env. */
async function checkoutOf(t: Test): Promise<string> {
  const folder = await temporaryFolder(t)
  for (const name of await readdir(ROOT)) {
    if (!name.startsWith('.')) await symlink(join(ROOT, name), join(folder, name))
  }
  return folder
}

/** Parts of flows, which test/docs-flows.test.ts compiles. */
function isDefinition(page: string, language: string, name: string): boolean {
  return page === 'docs/flows.md' && language === 'json' && name !== ''
}

function sectionOf(page: string, heading: string): string {
  return page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? ''
}

async function accepts(port: number | null): Promise<true | null> {
  return new Promise((resolve) => {
    const socket = connect(port ?? 0, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(null))
    socket.once('connect', () => socket.destroy())
  })
}
