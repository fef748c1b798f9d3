import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '#test/support/free-port.ts'
import { blocksOf } from '#test/examples/guide.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { temporaryFolder } from '#test/support/serve.ts'
import { type ServiceProcess, startService } from '#test/support/service-process.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const PATIENCE_MS = 60_000

/** The line of the guide's job that takes time; here the test says when the job is done. */
const WORK = 'await delay(5_000)'
const WORK_TILL_TOLD = "while (!readdirSync('.').includes('go')) await delay(20)"

t.test(
  "a flow goes on once although the guide's plugin is killed between accept and completion",
  async (t) => {
    const place = await startPlace(t, await guidePlugin())
    await place.sendOrder()
    await place.accepted()
    await place.plugin.kill()
    t.same(await place.statuses(), ['waiting/completion'], 'the flow waits for a plugin that is dead')

    await place.plugin.start()
    await place.finishWork()
    await place.ended()
    await place.checkOnce(t)
    t.strictSame(place.plugin.lines(), ['begun', 'begun', 'done'], 'the job began anew')
  },
)

t.test('so it does when service and plugin are killed, and a first token completes it', async (t) => {
  // As a plugin that keeps the first token that it got for a job.
  const script = (await guidePlugin()).replace(
    '...known, invocation_id, token }',
    'invocation_id, token, ...known }',
  )
  const place = await startPlace(t, script.replace('answer(202)', 'if (known) answer(202)'))
  await place.sendOrder()
  await place.plugin.printed('begun')
  const [first] = await place.tokens()
  t.equal((await place.tokens()).length, 1)
  // The plugin has the job and no worker has its 202.
  await place.killService()
  await place.plugin.kill()
  await place.plugin.start()
  await place.startService()
  await place.accepted()
  t.same(await place.tokens(), [first], 'it was asked again, and kept its first token')

  await place.plugin.kill()
  await place.plugin.start()
  await place.finishWork()
  await place.ended()
  await place.checkOnce(t)
})

async function guidePlugin(): Promise<string> {
  const page = await readFile(join(ROOT, 'docs/plugin-authors.md'), 'utf8')
  const block = blocksOf(page).find(({ name }) => name === 'exports.mjs')
  if (block === undefined || !block.text.includes(WORK)) throw new Error('the guide has another example')
  return block.text.replace(WORK, WORK_TILL_TOLD)
}

/** The service with a flow that has orders exported and then tells a receiver of it, and the guide's plugin. */
async function startPlace(t: Test, script: string) {
  const database = await createTestDatabase(t)
  const receiver = await startReceiver(t)
  const tenantId = crypto.randomUUID()
  const port = await freePort()
  const options = { databaseUrl: database.url, env: { LEASE_MS: '2000' }, port: await freePort() }
  let service: ServiceProcess = await startService(t, options)
  const plugin = await startPlugin(t, script.replace('4201', String(port)), service.url)
  const ask = async (path: string, body: object): Promise<void> => {
    const response = await service.request('POST', path, { tenantId, body })
    if (response.status >= 300) throw new Error(await response.text())
    await response.body?.cancel()
  }
  await ask('/api/plugins', {
    name: 'My exports',
    webhook_url: `http://127.0.0.1:${port}/webhooks`,
    events: [],
    secret: SECRET,
  })
  const action = { action_type: 'export_orders', title: 'Export', endpoint: '/actions/export-orders' }
  await ask('/api/plugins/my-exports/register-actions', { actions: [{ ...action, idempotent: true }] })
  await ask('/api/automation/flows', {
    name: 'Export',
    status: 'active',
    trigger: { type: 'event', event_types: ['order.created'] },
    steps: [
      {
        id: 'export',
        type: 'action',
        plugin_id: 'my-exports',
        action_type: 'export_orders',
        input: { month: '2026-06' },
      },
      {
        id: 'tell',
        type: 'http',
        url: `${receiver.url}/tell`,
        method: 'POST',
        body: '{{steps.export.output}}',
      },
    ],
  })
  const statuses = async (): Promise<string[]> => {
    const rows = await database.db.selectFrom('automation_executions').select(['status', 'reason']).execute()
    return rows.map(({ status, reason }) => `${status}/${reason}`)
  }
  return {
    plugin,
    statuses,
    sendOrder: () => ask('/api/events', { event: 'order.created', data: { order_id: 'ord_1' } }),
    accepted: () =>
      eventually(
        'the action to be accepted',
        async () => (await statuses())[0] === 'waiting/completion',
        PATIENCE_MS,
      ),
    ended: () =>
      eventually('the end of the flow', async () => (await statuses())[0] === 'completed/done', PATIENCE_MS),
    finishWork: () => writeFile(join(plugin.folder, 'go'), ''),
    tokens: plugin.tokens,
    killService: async () => {
      service.kill('SIGKILL')
      await service.exited
    },
    startService: async () => {
      service = await startService(t, options)
    },
    /** The step after the action was done once, with what the plugin told, and nothing is left to be told. */
    checkOnce: async (t: Test): Promise<void> => {
      t.same(
        receiver.received.map(({ body }) => JSON.parse(body) as unknown),
        [{ rows: 42 }],
      )
      t.same(await statuses(), ['completed/done'])
      const steps = await database.db.selectFrom('automation_steps').select(['step_id', 'status']).execute()
      t.same(steps.map(({ step_id, status }) => `${step_id} ${status}`).sort(), [
        'export succeeded',
        'tell succeeded',
      ])
      const log = await database.db.selectFrom('automation_event_log').select(['status', 'result']).execute()
      t.same(log, [{ status: 'succeeded', result: { rows: 42 } }])
      await eventually('the plugin to have told it', plugin.isIdle, PATIENCE_MS)
    },
  }
}

async function startPlugin(t: Test, script: string, serviceUrl: string) {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'exports.mjs'), script)
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  let text = ''
  let kill = async (): Promise<void> => undefined
  const start = async (): Promise<void> => {
    const child = spawn(process.execPath, ['exports.mjs'], {
      cwd: folder,
      env: { WEBHOOK_SECRET: SECRET, AUTOMATION_URL: serviceUrl },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const closed = once(child, 'close')
    let own = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part: string) => {
        text += part
        own += part
      })
    }
    kill = async () => {
      child.kill('SIGKILL')
      await closed
    }
    await eventually('the plugin to listen', () => own.includes('listening'), PATIENCE_MS)
  }
  t.teardown(() => kill())
  await start()
  const jobs = async (): Promise<{ token: string; told: boolean }[]> => {
    const names = existsSync(join(folder, 'jobs')) ? await readdir(join(folder, 'jobs')) : []
    const texts = names
      .filter((name) => name.endsWith('.json'))
      .map((name) => readFile(join(folder, 'jobs', name), 'utf8'))
    return (await Promise.all(texts)).map((json) => JSON.parse(json) as { token: string; told: boolean })
  }
  return {
    folder,
    start,
    kill: () => kill(),
    lines: () => [...text.matchAll(/: (begun|done)$/gm)].map(([, word]) => word),
    printed: (what: string) => eventually(what, () => text.includes(what), PATIENCE_MS),
    tokens: async () => (await jobs()).map(({ token }) => token),
    isIdle: async () => (await jobs()).every(({ told }) => told),
  }
}
