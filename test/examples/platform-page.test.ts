import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import t from 'tap'
import { ACTION_ERROR_CODES } from '#modules/dispatcher/errors.ts'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { codeBlocks, tableRows } from '#test/support/markdown.ts'
import { temporaryFolder } from '#test/support/serve.ts'
import { blocksOf, openTerminal, walkThrough } from './guide.ts'
import { startMailbox } from './mailbox.ts'
import { startPlugin } from './mailer-plugin.ts'
import { PLATFORM_TOKEN, startShop } from './shop.ts'

const page = await readFile(resolve(import.meta.dirname, '../../docs/platform.md'), 'utf8')
const TENANT = '22222222-2222-2222-2222-222222222222'

t.test("the platform's documented calls work as they are printed", async (t) => {
  const shop = await startShop(t, TENANT)
  const service = await startApp(t, {
    env: { ROLES: 'api,worker', PLATFORM_URL: shop.platform.url, PLATFORM_TOKEN },
  })
  const url = await service.app.listen({ host: '127.0.0.1', port: 0 })
  shop.platform.sendEventsTo({ url, key: TEST_PLATFORM_KEY })
  const mailbox = await startMailbox(t)
  const { plugin, secret } = await startPlugin(t, {
    smtpUrl: mailbox.url,
    automationUrl: url,
    // Registering is what the page does.
    automationKey: `bcs_${randomBytes(24).toString('hex')}`,
  })
  await t.rejects(plugin.registered)
  const home = await temporaryFolder(t)
  const terminal = openTerminal(t, home, {
    PLATFORM_KEY: TEST_PLATFORM_KEY,
    PLATFORM_URL: shop.platform.url,
    PLATFORM_TOKEN,
    WEBHOOK_SECRET: secret,
  })
  const here = page.replaceAll('http://127.0.0.1:3000', url).replaceAll('http://127.0.0.1:4100', plugin.url)

  await walkThrough(t, blocksOf(here), { terminal, named: async () => undefined })

  const [mail] = await mailbox.waitFor(1)
  t.match(mail?.to, [{ address: 'ada@example.com' }])
  t.match((await shop.call('GET', '/api/customers')).body, {
    data: [{ email: 'ada@example.com', name: 'Ada' }],
  })
  const dispatch = codeBlocks(here, 'sh').find((block) => block.includes('"flow_execution_id"')) ?? ''
  const again = JSON.parse(await terminal.run(dispatch)) as { results: { replayed: boolean }[] }
  t.same(
    again.results.map(({ replayed }) => replayed),
    [true, true],
  )
  t.equal(mailbox.mails.length, 1)
})

t.test('every code of a result is in the table', async (t) => {
  t.same(
    rowsOf('What went wrong: codes').map(([code]) => code),
    ACTION_ERROR_CODES.map((code) => `\`${code}\``),
  )
})

t.test("the table of the platform's actions is the registry's", async (t) => {
  const { app } = await startApp(t)
  t.same(
    rowsOf('What the service calls on the platform'),
    app.registry.platformActions.map(({ action_type, method, path, required_fields }) => [
      `\`${action_type}\``,
      `\`${method} ${path ?? ''}\``,
      required_fields.map((field) => `\`${field}\``).join(', '),
    ]),
  )
})

t.test('every platform action has its route in the reference platform', async (t) => {
  const { app } = await startApp(t)
  const { platform } = await startShop(t, TENANT)
  for (const { method, path } of app.registry.platformActions) {
    t.ok(platform.app.hasRoute({ method: method, url: path ?? '' }), `${method} ${path ?? ''}`)
  }
})

function rowsOf(heading: string): string[][] {
  const section = page.split('\n## ').find((text) => text.startsWith(heading)) ?? ''
  return tableRows(section)
    .slice(1)
    .map((cells) => cells.map((cell) => cell.trim()))
}
