import t from 'tap'
import type { DispatchResult } from '#modules/dispatcher/schemas.ts'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { type ServiceProcess, startService } from '#test/support/service-process.ts'
import { gate, json, startPlugin } from '#test/modules/dispatcher/support.ts'

const ACTIONS = ['first', 'second', 'third', 'fourth']
/** A repeated request waits until a lease has run out. */
const REPEAT_TIMEOUT_MS = 120_000

t.test('a dispatch whose process is killed between two actions does none of them twice', async (t) => {
  const arrived = gate()
  const database = await createTestDatabase(t)
  const plugin = await startPlugin(t, {
    '/third': (response) => {
      // The action is in the plugin's hands, and nobody is left to hear of it.
      if (plugin.calls('/third').length === 1) arrived.open()
      else json(200, { third: true })(response)
    },
  })
  const tenantId = crypto.randomUUID()
  const dispatched = {
    flow_execution_id: 'killed',
    events: ACTIONS.map((action_type) => ({ action_type, payload: { n: 1 } })),
  }

  const killed = await startService(t, { databaseUrl: database.url })
  await register(killed, tenantId, plugin.url)
  const cut = killed
    .request('POST', '/api/plugins/events/automation', { tenantId, body: dispatched })
    .then((response) => response.text())
  cut.catch(() => undefined)
  await arrived.opened
  killed.kill('SIGKILL')
  await killed.exited
  await t.rejects(cut, 'the caller has no answer')

  const { rows: held } = await database.pool.query<{ id: string; lease_token: string }>(
    "select id, lease_token from action_invocations where status = 'running'",
  )
  t.ok(held.length > 0)
  const service = await startService(t, { databaseUrl: database.url })
  const repeats = Promise.all([repeat(service), repeat(service)])
  // The leases of the killed process run out while they are waited for.
  await database.pool.query(
    `update action_invocations set lease_until = now()
     where status = 'running' and (id, lease_token) in (select * from unnest($1::uuid[], $2::bigint[]))`,
    [held.map(({ id }) => id), held.map(({ lease_token: token }) => token)],
  )
  const answers = await repeats
  for (const { summary } of answers) t.strictSame(summary, { total: 4, succeeded: 4, failed: 0 })
  const doneNow = answers.flatMap(({ results }) => results).filter(({ replayed }) => !replayed)
  t.strictSame(
    doneNow.map(({ action_type }) => action_type),
    ['third', 'fourth'],
    'what had succeeded is answered as it was recorded',
  )
  t.strictSame(
    ACTIONS.map((name) => plugin.calls(`/${name}`).length),
    [1, 1, 2, 1],
    'only the call under way came twice',
  )
  const third = plugin.calls('/third')
  for (const header of ['idempotency-key', 'webhook-id']) {
    t.equal(new Set(third.map(({ headers }) => headers[header])).size, 1, `with the same ${header}`)
  }
  const log = await database.pool.query<{ action_type: string; success: boolean }>(
    'select action_type, success from automation_event_log order by id',
  )
  t.strictSame(
    log.rows,
    ACTIONS.map((action_type) => ({ action_type, success: true })),
  )

  async function repeat(on: ServiceProcess): Promise<DispatchResult> {
    const response = await fetch(`${on.url}/api/plugins/events/automation`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${TEST_PLATFORM_KEY}`,
        'x-tenant-id': tenantId,
        'content-type': 'application/json',
      },
      body: JSON.stringify(dispatched),
      signal: AbortSignal.timeout(REPEAT_TIMEOUT_MS),
    })
    return (await response.json()) as DispatchResult
  }
})

t.test('a process that is told to stop ends what it does and leaves the rest to the next one', async (t) => {
  const door = gate()
  const database = await createTestDatabase(t)
  const plugin = await startPlugin(t, {
    '/second': (response) => {
      void door.opened.then(() => json(200, {})(response))
    },
  })
  const tenantId = crypto.randomUUID()
  const body = {
    flow_execution_id: 'stopped',
    events: ACTIONS.map((action_type) => ({ action_type, payload: {} })),
  }
  const stopped = await startService(t, { databaseUrl: database.url, env: { LOG_LEVEL: 'info' } })
  await register(stopped, tenantId, plugin.url)
  const request = stopped.request('POST', '/api/plugins/events/automation', { tenantId, body })
  await plugin.waitFor(2)
  stopped.kill('SIGTERM')
  await eventually('it knows', () => stopped.log.some((entry) => entry.includes('"closing"')))
  // Longer than actions may still begin, shorter than connections are kept for.
  setTimeout(() => door.open(), 4_000)
  const first = (await (await request).json()) as DispatchResult
  t.match(first.results, [
    { success: true },
    { success: true },
    { success: false, error: { code: 'interrupted' } },
    { success: false, error: { code: 'interrupted' } },
  ])
  t.match(await stopped.exited, { code: 0 })

  const next = await startService(t, { databaseUrl: database.url })
  // A wait for the end of this lease would be noticed.
  await database.pool.query("update action_invocations set lease_until = lease_until + interval '1 hour'")
  const response = await next.request('POST', '/api/plugins/events/automation', { tenantId, body })
  t.match(((await response.json()) as DispatchResult).results, [
    { replayed: true },
    { replayed: true },
    { success: true, replayed: false },
    { success: true, replayed: false },
  ])
  t.strictSame(
    ACTIONS.map((name) => plugin.calls(`/${name}`).length),
    [1, 1, 1, 1],
  )
})

async function register(service: ServiceProcess, tenantId: string, url: string): Promise<void> {
  const registered = await service.request('POST', '/api/plugins', {
    tenantId,
    body: { name: 'p', slug: 'p', webhook_url: `${url}/hook`, events: [] },
  })
  if (registered.status !== 201) throw new Error(await registered.text())
  const actions = await service.request('POST', '/api/plugins/p/register-actions', {
    tenantId,
    body: { actions: ACTIONS.map((name) => ({ action_type: name, title: name, endpoint: `/${name}` })) },
  })
  if (actions.status !== 200) throw new Error(await actions.text())
}
