import { newId } from '#lib/ids.ts'
import { sql } from 'kysely'
import t from 'tap'
import { selectExecutions } from '#modules/execution/read/repository.ts'
import { analyze, rowsRead } from '#test/support/plans.ts'
import {
  flowOf,
  HOUR_MS,
  post,
  startReceiver,
  startWorld,
  step,
  wait,
} from '#test/modules/flow-engine/support.ts'
import { latest, listed, read, seedExecutions } from '../support.ts'

const world = await startWorld(t)

t.test('an execution is read with its steps, their input, output, port and times', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer((_received, response) =>
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end('{"id":7,"access_token":"t0p-secret"}'),
  )
  const flow = await shop.publish(
    flowOf({
      call: post(receiver, '/a', 'end', {
        body: { name: '{{trigger.name}}', api_key: '{{trigger.api_key}}' },
      }),
    }),
  )
  const event = await shop.send('order.created', { name: 'Ada', api_key: 'k-123' })
  await shop.run()
  const { id } = await latest(shop)
  const execution = await read(shop, id)
  t.match(execution, {
    flow_id: flow,
    flow_name: 'flow',
    version: 1,
    status: 'completed',
    reason: 'done',
    trigger_kind: 'event',
    event_id: event,
    step_count: 1,
    trigger: { name: 'Ada', api_key: '[redacted]' },
    body_gone: null,
    waiting_for: [],
    retries: [],
    next_cursor: null,
  })
  const [call] = execution.steps
  t.match(call, {
    number: 0,
    step_id: 'call',
    type: 'http',
    status: 'succeeded',
    port: 'success',
    input: { body: { name: 'Ada', api_key: '[redacted]' } },
    output: { status: 200, body: { id: 7, access_token: '[redacted]' } },
    attempts: 1,
    carried_over: false,
  })
  t.ok(Date.parse(String(call?.finished_at)) >= Date.parse(String(call?.started_at)))
})

t.test(
  'what an http step sent is shown without its credentials, and so is what came back of them',
  async (t) => {
    const shop = await world.shop()
    const receiver = await startReceiver(t)
    receiver.answer(({ headers, path }, response) => {
      const echo = JSON.stringify({ headers, path, key: headers['x-partner'] })
      response.writeHead(path.startsWith('/fail') ? 422 : 200, { 'content-type': 'application/json' })
      response.end(
        path.startsWith('/fail') ? JSON.stringify({ message: `no ${String(headers['x-partner'])}` }) : echo,
      )
    })
    const [partner, bearer, query] = ['partner-of-mine', 'Bearer s3cret-of-mine', 'query9of9mine9and9yours']
    const call = (path: string, to: string, body: unknown = null) =>
      step({
        type: 'http',
        config: {
          method: 'POST',
          url: `${receiver.url}${path}?who=${query}`,
          headers: { 'X-Partner': partner, Authorization: bearer, 'Content-Type': 'application/json' },
          body,
        },
        next: { success: to },
        retry: { max_retries: 0, base_ms: 1_000, cap_ms: 1_000 },
      })
    const copy = { copied: '{{steps.echo.output.body.headers.authorization}}' }
    await shop.publish(flowOf({ echo: call('/echo', 'fail'), fail: call('/fail', 'end', copy) }))
    await shop.send('order.created', {})
    await shop.run()
    const { id } = await latest(shop)
    const answer = await shop.tenant.get(`/api/automation/executions/${id}`)
    for (const secret of [partner, bearer, 's3cret-of-mine', query]) t.notMatch(answer.body, secret)
    const [echo, failed] = (await read(shop, id)).steps
    const hidden = '[redacted]'
    t.match(echo, {
      input: {
        url: `${receiver.url}/echo?who=[redacted]`,
        headers: { 'x-partner': hidden, authorization: hidden, 'content-type': hidden },
      },
      output: { body: { key: hidden, headers: { 'content-type': 'application/json' } } },
    })
    t.match(failed, { status: 'failed', error: { message: `no ${hidden}` } })
    t.equal(receiver.received[1]?.body, '{"copied":"[redacted]"}', 'an echo goes no further')
  },
)

t.test('what a failure says is shown without secrets', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const [id = ''] = await seedExecutions(shop.db, shop.tenant.id, flow, [{ status: 'failed' }])
  const message = `no such key: Bearer ${'s3cret'.repeat(8)}`
  const error = JSON.stringify({ step_id: 'call', code: 'http_4xx', message })
  await shop.db
    .updateTable('automation_executions')
    .set({ error, step_count: 1 })
    .where('id', '=', id)
    .execute()
  await shop.db
    .insertInto('automation_steps')
    .values({
      tenant_id: shop.tenant.id,
      execution_id: id,
      number: 0,
      step_id: 'call',
      type: 'http',
      status: 'failed',
      error,
      started_at: new Date(),
      duration_ms: 1,
    })
    .execute()
  const answer = await shop.tenant.get(`/api/automation/executions/${id}`)
  t.match(answer.json(), { error: { code: 'http_4xx', step_id: 'call', message: 'no such key: [redacted]' } })
  t.notMatch(answer.body, /s3cret/)
  t.notMatch((await shop.tenant.get('/api/automation/executions')).body, /s3cret/)
})

t.test('what waits says for what, and until when', async (t) => {
  const shop = await world.shop()
  await shop.publish(
    flowOf(
      {
        first: step({
          type: 'wait_event',
          config: {
            any: [{ event: 'order.paid', match: { order_id: '{{trigger.order_id}}' }, filter: null }],
            timeout_ms: HOUR_MS,
            look_back_ms: 0,
          },
          next: { received: 'later', timeout: 'end' },
        }),
        later: wait(2 * HOUR_MS, 'end'),
      },
      {
        settings: {
          timeout_ms: 5_000,
          retry: { max_retries: 0, base_ms: 1_000, cap_ms: 1_000 },
          lifetime_ms: 24 * HOUR_MS,
          enrolment: {
            key: null,
            while_active: 'allow',
            reenter_after_ms: null,
            cancel_on: [
              { event: 'order.deleted', match: { order_id: '{{trigger.order_id}}' }, filter: null },
            ],
          },
        },
      },
    ),
  )
  await shop.send('order.created', { order_id: 1 })
  await shop.run()
  const { id, created_at } = await latest(shop)
  const execution = await read(shop, id)
  t.match(execution, {
    status: 'waiting',
    reason: 'event',
    waiting_for: [{ step_id: 'first', iteration: '', reason: 'event', events: ['order.paid'] }],
    cancelled_by: ['order.deleted'],
  })
  const until = Date.parse(String(execution.waiting_for[0]?.until))
  t.ok(Math.abs(until - Date.parse(String(created_at)) - HOUR_MS) < 60_000, 'an hour after it began')
  await shop.send('order.paid', { order_id: 1 })
  await shop.run()
  t.match(await read(shop, id), { waiting_for: [{ step_id: 'later', reason: 'delay', events: [] }] })
})

t.test('the list is filtered by flow, status, key and time, and pages newest first', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const other = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const old = new Date('2026-01-02T00:00:00Z')
  await seedExecutions(shop.db, shop.tenant.id, flow, [
    { status: 'failed', key: 'ada' },
    { status: 'failed' },
    { status: 'completed', key: 'ada' },
  ])
  await seedExecutions(shop.db, shop.tenant.id, other, [{ status: 'failed', key: 'ada' }])
  const all = await listed(shop)
  t.equal(all.length, 4)
  t.strictSame(
    all.map(({ id }) => id),
    all
      .map(({ id }) => id)
      .sort()
      .reverse(),
  )
  t.equal((await listed(shop, `?flow=${flow}`)).length, 3)
  t.equal((await listed(shop, `?flow=${flow}&status=failed`)).length, 2)
  t.equal((await listed(shop, '?key=ada')).length, 3)
  t.equal((await listed(shop, '?key=ada&status=completed')).length, 1)
  const [first, second] = all
  const eventId = crypto.randomUUID()
  await shop.db
    .updateTable('automation_executions')
    .set({
      reason: 'cap',
      error: JSON.stringify({ code: 'timeout', message: 'too slow' }),
      event_id: eventId,
    })
    .where('id', '=', second?.id ?? '')
    .execute()
  for (const query of ['?reason=cap', '?error_code=timeout', `?event_id=${eventId}`]) {
    t.match(await listed(shop, query), [{ id: second?.id }], query)
    t.equal((await listed(shop, query)).length, 1, query)
  }
  t.strictSame(await listed(shop, '?error_code=other'), [])
  t.strictSame(await listed(shop, `?event_id=${crypto.randomUUID()}`), [])
  await shop.db
    .updateTable('automation_executions')
    .set({ created_at: old })
    .where('id', '=', first?.id ?? '')
    .execute()
  t.equal((await listed(shop, '?since=2026-02-01T00:00:00Z')).length, 3)
  const pages: string[] = []
  let cursor: string | null = null
  do {
    const answer = await shop.tenant.get(
      `/api/automation/executions?limit=3${cursor === null ? '' : `&cursor=${cursor}`}`,
    )
    const page: { data: { id: string }[]; next_cursor: string | null } = answer.json()
    pages.push(...page.data.map(({ id }) => id))
    cursor = page.next_cursor
  } while (cursor !== null)
  t.strictSame(
    pages,
    all.map(({ id }) => id),
  )
  t.equal((await shop.tenant.get('/api/automation/executions?since=2026-02-31T00:00:00Z')).statusCode, 400)
  t.equal((await shop.tenant.get('/api/automation/executions?status=lost')).statusCode, 400)
})

t.test('several statuses, and the beginning of an id or a key, narrow the list', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const ids = await seedExecutions(shop.db, shop.tenant.id, flow, [
    { status: 'failed', key: 'customer 1' },
    { status: 'completed', key: 'customer 2' },
    { status: 'cancelled', key: 'custom%' },
    { status: 'waiting' },
    { status: 'failed' },
  ])
  const found = async (query: string) => (await listed(shop, query)).map(({ id }) => ids.indexOf(id))
  t.strictSame(await found('?status=failed,waiting'), [4, 3, 0])
  t.strictSame(await found('?status=completed,cancelled,completed'), [2, 1])
  t.strictSame(await found('?status=failed,waiting&limit=2'), [4, 3])
  t.strictSame(await found('?q=customer'), [1, 0])
  t.strictSame(await found('?q=custom%25'), [2])
  t.strictSame(await found('?q=customer&status=failed,cancelled'), [0])
  t.strictSame(await found(`?q=${ids[3]}`), [3])
  t.strictSame(await found(`?q=${ids[3]?.slice(0, 4)}`), [4, 3, 2, 1, 0])
  t.strictSame(await found('?q=nobody'), [])
  const first = (await shop.tenant.get('/api/automation/executions?status=failed,waiting&limit=1')).json<{
    next_cursor: string
  }>()
  t.strictSame(await found(`?status=failed,waiting&cursor=${first.next_cursor}`), [3, 0])
  t.match((await shop.tenant.get('/api/automation/executions?status=failed,lost')).json(), {
    status: 400,
    errors: [{ pointer: '/querystring/status', detail: /must be one of queued, running/ }],
  })
  const stranger = await world.shop()
  t.strictSame(await listed(stranger, '?q=customer'), [])
})

t.test('what is rare among very many executions is found without reading the rest', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const { id: tenantId } = shop.tenant
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, trigger_kind, trigger, state, status, reason, key,
      expires_at, due_at)
    select ${tenantId}::uuid, (lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000')::uuid, ${flow}::uuid, 1, 'manual',
      '{}', '{}', case n % 5000 when 0 then 'failed' when 1 then 'cancelled' else 'completed' end, 'done', 'order-' || n,
      now(), null
    from generate_series(1, 20000) n`.execute(shop.db)
  const eventId = newId()
  const other = newId()
  await sql`
    update automation_executions set reason = 'cap', error = '{"code":"timeout","message":"too slow"}', event_id = case when key = 'order-1' then ${eventId}::uuid end,
      flow_id = case when key = 'order-2' then ${other}::uuid else flow_id end
    where tenant_id = ${tenantId} and key in ('order-1', 'order-2', 'order-5000')`.execute(shop.db)
  await analyze(shop.db, 'automation_executions')
  const base = { flowId: null, statuses: null, key: null, since: null, until: null }
  const any = { ...base, reason: null, errorCode: null, eventId: null, text: null }
  for (const [filter, count] of [
    [{ statuses: ['failed', 'cancelled'] }, 8],
    [{ text: 'order-1999' }, 11],
    [{ text: '00004e2' }, 1],
    [{ text: 'order-1999', statuses: ['failed', 'completed'] }, 11],
    [{ reason: 'cap' }, 3],
    [{ errorCode: 'timeout' }, 3],
    [{ eventId }, 1],
    [{ eventId: newId() }, 0],
    [{ flowId: other }, 1],
    [{ flowId: flow, statuses: ['cancelled'] }, 4],
    [{ flowId: flow, reason: 'cap' }, 2],
    [{ key: 'order-7' }, 1],
    [{ until: new Date(0) }, 0],
  ] as const) {
    let rows = 0
    const reads = await rowsRead(world.app.pools.api, async (db) => {
      const found = await selectExecutions(db, tenantId, { ...any, ...filter }, { before: null, limit: 50 })
      rows = found.length
    })
    t.equal(rows, count, JSON.stringify(filter))
    t.ok(Math.max(...reads) < 500, `${JSON.stringify(filter)}: ${reads.join()}`)
  }
})

t.test('the steps of a long or large execution come in pages', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const [id = ''] = await seedExecutions(shop.db, shop.tenant.id, flow, [{ status: 'completed' }])
  const large = 'x'.repeat(300_000)
  await shop.db
    .insertInto('automation_steps')
    .values(
      Array.from({ length: 60 }, (_, number) => ({
        tenant_id: shop.tenant.id,
        execution_id: id,
        number,
        step_id: 'step',
        iteration: String(number),
        type: 'set',
        status: 'succeeded' as const,
        output: number >= 30 ? JSON.stringify(large) : null,
        started_at: new Date(),
        duration_ms: 1,
      })),
    )
    .execute()
  await shop.db.updateTable('automation_executions').set({ step_count: 60 }).where('id', '=', id).execute()
  const numbers: number[] = []
  let pages = 0
  let cursor: string | null = null
  do {
    const query: string = cursor === null ? '' : `?cursor=${cursor}`
    const page = await read(shop, id, query)
    t.ok(JSON.stringify(page.steps).length < 5_000_000, 'no answer is larger than some megabytes')
    numbers.push(...page.steps.map((each) => each.number))
    cursor = page.next_cursor
    pages++
  } while (cursor !== null)
  t.ok(pages >= 2)
  t.strictSame(
    numbers,
    Array.from({ length: 60 }, (_, number) => number),
  )
  t.equal((await read(shop, id, '?limit=10')).steps.length, 10)
  t.equal((await shop.tenant.get(`/api/automation/executions/${id}?cursor=WyJ4Il0`)).statusCode, 400)
})

t.test("another tenant's execution is answered like one that never was", async (t) => {
  const [shop, stranger] = [await world.shop(), await world.shop()]
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const [id = ''] = await seedExecutions(shop.db, shop.tenant.id, flow, [{ status: 'failed' }])
  const headers = { 'x-request-id': 'same' }
  for (const path of ['', '/stream']) {
    const foreign = await stranger.tenant.get(`/api/automation/executions/${id}${path}`, headers)
    const unknown = await stranger.tenant.get(
      `/api/automation/executions/${crypto.randomUUID()}${path}`,
      headers,
    )
    t.equal(foreign.statusCode, 404)
    t.equal(foreign.body, unknown.body)
  }
  t.equal((await listed(stranger)).length, 0)
})

t.test('a running execution tells the steps that it is at', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const [id = ''] = await seedExecutions(shop.db, shop.tenant.id, flow, [{ status: 'running' }])
  t.strictSame((await read(shop, id)).at, [{ step_id: 'call', iteration: '', since: null, attempt: 1 }])
  const thread = {
    step: 'call',
    waiting: null,
    due_at: null,
    failures: 2,
    since: Date.parse('2026-05-01T00:00:00Z'),
    variables: {},
  }
  const state = {
    main: { ...thread, iteration: '', waiting: 'loop' },
    loop: {
      threads: [
        { ...thread, iteration: '0' },
        { ...thread, iteration: '1', waiting: 'delay' },
      ],
    },
    error: null,
    filtered: false,
  }
  await shop.db
    .updateTable('automation_executions')
    .set({ state: JSON.stringify(state) })
    .where('id', '=', id)
    .execute()
  t.strictSame((await read(shop, id)).at, [
    { step_id: 'call', iteration: '0', since: '2026-05-01T00:00:00.000Z', attempt: 3 },
  ])
  await shop.db
    .updateTable('automation_executions')
    .set({ status: 'completed' })
    .where('id', '=', id)
    .execute()
  t.strictSame((await read(shop, id)).at, [])
})
