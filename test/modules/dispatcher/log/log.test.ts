import { sql } from 'kysely'
import t from 'tap'
import { type EventLogFilter, listEventLog } from '#modules/dispatcher/log/repository.ts'
import { analyze, rowsRead } from '#test/support/plans.ts'
import { newId } from '#lib/ids.ts'
import { clientFor, startApp } from '#test/support/app.ts'
import { actionAt, dispatch, json, type LogEntry, readLog, registerPlugin, startPlugin } from '../support.ts'

const service = await startApp(t)

t.test('the log tells what was asked for and what became of it, newest first, without secrets', async (t) => {
  const plugin = await startPlugin(t, {
    '/login': json(200, { user: 'ada', access_token: 'a-token', note: `Bearer ${'b'.repeat(30)}` }),
    '/fail': json(422, { error: 'The key whsec_c2VjcmV0c2VjcmV0 is not known.' }),
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'auth', [actionAt('login'), actionAt('fail')])
  const events = [
    { action_type: 'login', payload: { email: 'ada@example.com', password: 'hunter2' }, event_key: 'in' },
    { action_type: 'fail', payload: {} },
  ]
  await dispatch(shop, events, { flow_execution_id: 'logged' })
  const log = await readLog(shop)
  t.match(log, [
    { event_key: '#1', action_type: 'fail', plugin: 'auth', success: false, error_code: 'http_4xx' },
    {
      flow_execution_id: 'logged',
      event_key: 'in',
      action_type: 'login',
      plugin: 'auth',
      payload: { email: 'ada@example.com', password: '[redacted]' },
      result: { user: 'ada', access_token: '[redacted]', note: '[redacted]' },
      success: true,
      status: 'succeeded',
      response_status: 200,
      attempts: 1,
    },
  ])
  t.notMatch(JSON.stringify(log), /hunter2|a-token|bbbb|c2VjcmV0/)
})

t.test('what a plugin repeats of its headers and its token is in no result', async (t) => {
  const plugin = await startPlugin(t, {
    '/echo': (response, { headers }) => json(200, { headers })(response),
    '/fail': (response, { headers }) => json(422, { message: `not ${String(headers['x-pass'])}` })(response),
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'echo', [actionAt('echo'), actionAt('fail')])
  await shop.patch('/api/plugins/echo', { headers: { 'X-Pass': 'open-sesame' } })
  const { results } = await dispatch(shop, [
    { action_type: 'echo', payload: {} },
    { action_type: 'fail', payload: {} },
  ])
  const headers = { 'x-pass': '[redacted]', 'x-completion-token': '[redacted]' }
  t.match(results, [{ data: { headers } }, { error: { message: 'not [redacted]' } }])
  t.equal(plugin.received[0]?.headers['x-pass'], 'open-sesame', 'the plugin got it')
  t.notMatch(JSON.stringify(await readLog(shop)), 'open-sesame')
})

t.test('the log is found by execution, action, success and time, page by page', async (t) => {
  const plugin = await startPlugin(t, { '/no': json(422, {}) })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('yes'), actionAt('no')])
  const events = ['yes', 'no', 'yes'].map((action_type) => ({ action_type, payload: {} }))
  await dispatch(shop, events, { flow_execution_id: 'one' })
  await dispatch(shop, events, { flow_execution_id: 'two' })
  const all = await readLog(shop)
  const keys = (log: LogEntry[]) => log.map((entry) => `${entry.flow_execution_id}${entry.event_key}`)
  t.strictSame(keys(all), ['two#2', 'two#1', 'two#0', 'one#2', 'one#1', 'one#0'])
  t.strictSame(keys(await readLog(shop, 'execution=one')), ['one#2', 'one#1', 'one#0'])
  t.strictSame(keys(await readLog(shop, 'action=no')), ['two#1', 'one#1'])
  t.strictSame(keys(await readLog(shop, 'success=false&execution=two')), ['two#1'])
  t.strictSame(keys(await readLog(shop, 'error_code=http_4xx&plugin=p')), ['two#1', 'one#1'])
  t.strictSame(keys(await readLog(shop, 'plugin=other')), [])
  t.strictSame(keys(await readLog(shop, 'response_status=4xx&execution=one')), ['one#1'])
  t.strictSame(keys(await readLog(shop, 'response_status=422&execution=one')), ['one#1'])
  t.strictSame(keys(await readLog(shop, 'response_status=5xx')), [])
  t.strictSame(keys(await readLog(shop, 'attempts_min=2')), [])
  t.strictSame(keys(await readLog(shop, 'until=2020-01-01T00:00:00Z')), [])
  t.match((await shop.get('/api/automation/event-log?since=2026-02-30T00:00:00Z')).json(), {
    status: 400,
    errors: [{ pointer: '/querystring/since' }],
  })
  t.strictSame(keys(await readLog(shop, 'success=true&action=no')), [])
  const since = encodeURIComponent(String(all[2]?.created_at))
  t.strictSame(keys(await readLog(shop, `since=${since}`)), ['two#2', 'two#1', 'two#0'])
  t.strictSame(keys(await readLog(shop, 'since=2999-01-01T00:00:00Z')), [])

  const pages: string[][] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const answer = await shop.get(`/api/automation/event-log?limit=4${cursor && `&cursor=${cursor}`}`)
    const page = answer.json<{ data: LogEntry[]; next_cursor: string | null }>()
    pages.push(keys(page.data))
    cursor = page.next_cursor
  }
  t.strictSame(pages, [keys(all).slice(0, 4), keys(all).slice(4)])
  for (const wrong of [
    'since=yesterday',
    'since=2026-02-30T00:00:00Z',
    'success=perhaps',
    'cursor=x',
    'limit=0',
  ]) {
    t.equal((await shop.get(`/api/automation/event-log?${wrong}`)).statusCode, 400, wrong)
  }
})

t.test('what is rare among very many entries is found without reading the rest', async (t) => {
  const { id: tenantId } = service.tenant()
  await sql`
    insert into automation_event_log (tenant_id, id, flow_execution_id, event_key, action_type, plugin, payload, success,
      status, error_code, response_status, attempts, duration_ms, created_at)
    select ${tenantId}::uuid, (lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000')::uuid, 'run-' || n, '#0',
      case n when 2 then 'rare' else 'common' end, case n when 1 then 'rare' else 'common' end, '{}', n > 3,
      case when n > 3 then 'succeeded' else 'failed' end, case n when 3 then 'timeout' end,
      case n when 1 then 503 when 2 then 500 when 3 then 429 else 200 end, case n when 3 then 3 else 1 end, 1,
      '2026-01-02T00:00:00Z'
    from generate_series(1, 20000) n`.execute(service.db)
  await analyze(service.db, 'automation_event_log')
  const any = {
    tenantId,
    execution: null,
    action: null,
    plugin: null,
    success: null,
    errorCode: null,
    responseStatuses: null,
    attemptsMin: null,
    since: null,
    until: null,
    beforeId: null,
    limit: 51,
  }
  const class5 = Array.from({ length: 100 }, (_, n) => 500 + n)
  const cases: [Partial<EventLogFilter>, number][] = [
    [{ plugin: 'rare' }, 1],
    [{ plugin: 'nobody' }, 0],
    [{ plugin: 'rare', success: true }, 0],
    [{ plugin: 'common' }, 51],
    [{ action: 'rare' }, 1],
    [{ execution: 'run-7' }, 1],
    [{ success: false }, 3],
    [{ errorCode: 'timeout' }, 1],
    [{ responseStatuses: [429] }, 1],
    [{ responseStatuses: class5 }, 2],
    [{ responseStatuses: class5, plugin: 'rare' }, 1],
    [{ attemptsMin: 2 }, 1],
    [{ until: new Date(0) }, 0],
  ]
  for (const [filter, count] of cases) {
    let rows = 0
    const reads = await rowsRead(service.app.pools.api, async (db) => {
      rows = (await listEventLog(db, { ...any, ...filter })).length
    })
    const said = JSON.stringify(filter)
    t.equal(rows, count, said)
    t.ok(Math.max(...reads) < 500, `${said}: ${reads.join()}`)
  }
})

t.test('payloads and answers that are large are cut, and numbers stay as they were written', async (t) => {
  const plugin = await startPlugin(t, { '/large': json(200, { text: 'x'.repeat(40_000) }) })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('large')])
  const payload = `{"numbers":[${Array.from({ length: 2_000 }, () => '1e9999').join()},1e300,12345678901234567890]}`
  await shop.post(
    '/api/plugins/events/automation',
    `{"events":[{"action_type":"large","payload":${payload}}]}`,
  )
  const answer = await shop.get('/api/automation/event-log')
  t.ok(answer.body.length < 50_000, `${answer.body.length} characters`)
  const [entry] = answer.json<{ data: LogEntry[] }>().data
  t.match(entry, { success: true, result: { truncated: true } })
  t.ok(answer.body.includes('1e9999,1e300,12345678901234567890]'))
})

t.test('viewers read the log, editors dispatch, plugins do neither', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('do')])
  const clientOf = async (fields: object) => {
    const made = await shop.post('/api/keys', { name: 'k', ...fields })
    return clientFor(service.app, shop.id, made.json<{ key: string }>().key)
  }
  const body = { events: [{ action_type: 'do', payload: {} }] }
  const viewer = await clientOf({ kind: 'tenant', role: 'viewer' })
  const editor = await clientOf({ kind: 'tenant', role: 'editor' })
  const ownKey = await clientOf({ kind: 'plugin', plugin: 'p' })
  t.strictSame(
    await Promise.all(
      [viewer, editor, ownKey].map(async (client) => [
        (await client.post('/api/plugins/events/automation', body)).statusCode,
        (await client.get('/api/automation/event-log')).statusCode,
      ]),
    ),
    [
      [403, 200],
      [200, 200],
      [403, 403],
    ],
  )
})

t.test('actions are counted by whose they are and what became of them, lists by their size', async (t) => {
  const plugin = await startPlugin(t, {
    '/refuse': json(422, { error: { code: 'no', message: 'No.' } }),
    '/later': (response) => response.writeHead(202).end(),
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('do'), actionAt('refuse'), actionAt('later')])
  const { registry } = service.app.metrics
  const lines = async (name: string): Promise<Map<string, number>> => {
    const text = (await registry.getSingleMetricAsString(name)).split('\n')
    const values = text.filter((line) => !line.startsWith('#')).map((line) => line.split(' '))
    return new Map(values.map(([figure = '', value]) => [figure, Number(value)]))
  }
  const figures = async (): Promise<Map<string, number>> =>
    new Map([
      ...(await lines('bcs_actions_total')),
      ...(await lines('bcs_action_duration_seconds')),
      ...(await lines('bcs_dispatch_actions')),
    ])
  const before = await figures()
  const events = ['do', 'refuse', 'later', 'nobody'].map((action_type) => ({ action_type, payload: {} }))
  await dispatch(shop, events, { flow_execution_id: 'counted' })
  await dispatch(shop, events.slice(0, 1), { flow_execution_id: 'counted', mode: 'parallel' })
  const after = await figures()
  const added = (figure: string): number => (after.get(figure) ?? 0) - (before.get(figure) ?? 0)
  t.strictSame(
    [
      'bcs_actions_total{source="plugin",outcome="succeeded"}',
      'bcs_actions_total{source="plugin",outcome="failed"}',
      'bcs_actions_total{source="plugin",outcome="accepted"}',
      'bcs_actions_total{source="plugin",outcome="replayed"}',
      'bcs_actions_total{source="none",outcome="failed"}',
      'bcs_action_duration_seconds_count{source="plugin"}',
      'bcs_dispatch_actions_count{mode="sequential"}',
      'bcs_dispatch_actions_sum{mode="sequential"}',
      'bcs_dispatch_actions_count{mode="parallel"}',
    ].map(added),
    [1, 1, 1, 1, 1, 3, 1, 4, 1],
  )
})

t.test('an entry is read by its id, with who asked for it and how what was accepted stands', async (t) => {
  const plugin = await startPlugin(t, { '/later': json(202, {}), '/pay': json(200, { done: 1.1 }) })
  const [shop, other] = [service.tenant(), service.tenant()]
  await registerPlugin(shop, plugin.url, 'till', [actionAt('later'), actionAt('pay')])
  const made = await shop.post('/api/keys', { name: 'Till 7', kind: 'tenant', role: 'editor' })
  const till = clientFor(service.app, shop.id, made.json<{ key: string }>().key)
  await dispatch(till, [
    { action_type: 'pay', payload: { password: 'hunter2' } },
    { action_type: 'later', payload: {} },
  ])
  const [later, pay] = await readLog(shop)
  const read = async (client: typeof shop, id: string | undefined) =>
    client.get(`/api/automation/event-log/${id}`)
  const paid = (await read(shop, pay?.id)).json<object>()
  t.match(paid, { ...pay, key_name: 'Till 7', dispatched_by: null, execution: null })
  t.match(paid, { invocation: { status: 'succeeded' } })
  t.match(paid, { payload: { password: '[redacted]' }, result: { done: 1.1 } })
  t.match((await read(shop, later?.id)).json(), {
    status: 'accepted',
    invocation: { status: 'accepted', complete_until: String, finished_at: null },
  })

  await dispatch(till, [{ action_type: 'pay', payload: {} }], { flow_execution_id: 'plugin:none:1' })
  const [oddlyNamed] = await readLog(shop)
  t.match((await read(shop, oddlyNamed?.id)).json(), { dispatched_by: null, execution: null })
  const { id: tillId } = (await shop.get('/api/plugins/till')).json<{ id: string }>()
  const run = newId()
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, status, trigger_kind, trigger, state, expires_at)
    values (${shop.id}, ${run}, ${newId()}, 1, 'completed', 'manual', '{}', '{}', now())`.execute(service.db)
  for (const named of [`plugin:${tillId}:x`, run]) {
    await dispatch(till, [{ action_type: 'pay', payload: {} }], { flow_execution_id: named })
    const [entry] = await readLog(shop)
    t.match(
      (await read(shop, entry?.id)).json(),
      { flow_execution_id: named, key_name: 'Till 7', dispatched_by: null, execution: null },
      'the key that asked is a person’s, whatever it wrote',
    )
  }

  t.match((await read(other, pay?.id)).json(), { status: 404, code: 'call_not_found' })
  t.equal((await read(shop, crypto.randomUUID())).statusCode, 404)
  t.match((await read(shop, 'last')).json(), { status: 400, errors: [{ pointer: '/params/id' }] })

  const asPlugin = await shop.post('/api/keys', { name: 'own', kind: 'plugin', plugin: 'till' })
  await shop.patch('/api/plugins/till', { scopes: ['actions:call:pay'] })
  const own = clientFor(service.app, shop.id, asPlugin.json<{ key: string }>().key)
  await dispatch(own, [{ action_type: 'pay', payload: {} }])
  const [byPlugin] = await readLog(shop)
  t.match((await read(shop, byPlugin?.id)).json(), { key_name: 'own', dispatched_by: 'till' })
  t.equal((await read(own, byPlugin?.id)).statusCode, 403)
})
