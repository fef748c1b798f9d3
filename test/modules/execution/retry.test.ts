import t, { type Test } from 'tap'
import type { Receiver } from '#test/support/receiver.ts'
import {
  flowOf,
  HOUR_MS,
  outcomes,
  post,
  settings,
  type Shop,
  startReceiver,
  startWorld,
  step,
  wait,
} from '#test/modules/flow-engine/support.ts'
import { latest, read, refusal, retry } from './support.ts'

const world = await startWorld(t)

/** Sets a variable, makes a thing, and uses both in a call that fails until the receiver is told otherwise. */
function chain(receiver: Receiver) {
  return flowOf({
    greet: step({
      type: 'set',
      config: { variables: { greeting: 'Hello {{trigger.name}}' } },
      next: { next: 'make' },
    }),
    make: post(receiver, '/make', 'use'),
    use: post(receiver, '/use', 'after', {
      body: { id: '{{steps.make.output.body.id}}', text: '{{variables.greeting}}' },
    }),
    after: post(receiver, '/after', 'end'),
  })
}

function answering(receiver: Receiver, failing: readonly string[]): void {
  receiver.answer(({ path }, response) =>
    response
      .writeHead(failing.includes(path) ? 422 : 200, { 'content-type': 'application/json' })
      .end('{"id":41}'),
  )
}

async function failedAtUse(t: Test): Promise<{ shop: Shop; receiver: Receiver; flow: string; id: string }> {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  answering(receiver, ['/use'])
  const flow = await shop.publish(chain(receiver))
  await shop.send('order.created', { name: 'Ada' })
  await shop.run()
  const { id, status } = await latest(shop)
  if (status !== 'failed') throw new Error(`it is ${status}`)
  answering(receiver, [])
  return { shop, receiver, flow, id }
}

/**
 * Returns the paths that were called. A request that met a connection which was just closed comes twice, under one
 * key.
 */
function paths(receiver: Receiver): string[] {
  const calls = new Map(receiver.received.map((call) => [call.headers['idempotency-key'], call.path]))
  return [...calls.values()]
}

t.test(
  'a retry goes on at the step that failed: what was done before is carried over and not repeated',
  async (t) => {
    const { shop, receiver, id } = await failedAtUse(t)
    const made = await retry(shop, id)
    t.match(made, { status: 'queued', retry_of: id, step_count: 2, carried_steps: 2, version: 1 })
    await shop.run()
    const execution = await read(shop, made.id)
    t.match(execution, { status: 'completed', reason: 'done', retry_of: id })
    t.strictSame(
      execution.steps.map(({ step_id, carried_over }) => [step_id, carried_over]),
      [
        ['greet', true],
        ['make', true],
        ['use', false],
        ['after', false],
      ],
    )
    t.strictSame(paths(receiver), ['/make', '/use', '/use', '/after'])
    const failed = receiver.received.find(({ path }) => path === '/use')
    const used = receiver.received.findLast(({ path }) => path === '/use')
    t.equal(used?.body, '{"id":41,"text":"Hello Ada"}', 'templates and variables find what was carried over')
    t.equal(failed?.headers['idempotency-key'], `${id}:use`)
    t.equal(used?.headers['idempotency-key'], `${made.id}:use`, 'its Idempotency-Keys are its own')
    t.match(
      await read(shop, id),
      { status: 'failed', retries: [made.id] },
      'what it retries stays as it ended',
    )
  },
)

t.test('an event that has been retried starts nothing anew, and can be retried again', async (t) => {
  const { shop, id } = await failedAtUse(t)
  const first = await retry(shop, id)
  t.equal(await refusal(shop, id), '409 retry_under_way', 'pressing twice is one wish')
  await shop.run()
  const second = await retry(shop, id)
  await shop.run()
  t.strictSame((await read(shop, id)).retries, [second.id, first.id])
  t.strictSame(outcomes(await shop.executions()).sort(), ['completed/done', 'completed/done', 'failed'])
})

t.test('behind an error port a retry still knows what went wrong before', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  answering(receiver, ['/bad', '/log'])
  await shop.publish(
    flowOf({
      bad: post(receiver, '/bad', 'end', { error: 'log' }),
      log: post(receiver, '/log', 'end', { body: '{{execution.error.step_id}} {{execution.error.code}}' }),
    }),
  )
  await shop.send('order.created', {})
  await shop.run()
  answering(receiver, [])
  const made = await retry(shop, (await latest(shop)).id)
  await shop.run()
  t.match(await read(shop, made.id), { status: 'completed', error: null, carried_steps: 1 })
  t.strictSame(
    receiver.received.map(({ path, body }) => [path, body]),
    [
      ['/bad', ''],
      ['/log', 'bad http_4xx'],
      ['/log', 'bad http_4xx'],
    ],
  )
})

t.test('from the start, with an edited trigger, all runs again', async (t) => {
  const { shop, receiver, id } = await failedAtUse(t)
  const made = await retry(shop, id, { from: 'start', trigger: { name: 'Grace' } })
  t.match(made, { step_count: 0, carried_steps: 0 })
  await shop.run()
  t.match(await read(shop, made.id), { status: 'completed', trigger: { name: 'Grace' } })
  t.strictSame(paths(receiver).slice(2), ['/make', '/use', '/after'])
  const used = receiver.received.findLast(({ path }) => path === '/use')
  t.equal(used?.body, '{"id":41,"text":"Hello Grace"}')
})

t.test('from a chosen step, those before it are carried over and it runs with all behind it', async (t) => {
  const { shop, receiver, id } = await failedAtUse(t)
  const made = await retry(shop, id, { from: 'make' })
  t.match(made, { carried_steps: 1 })
  await shop.run()
  t.strictSame(paths(receiver).slice(2), ['/make', '/use', '/after'])
})

t.test('it runs the version that ran, or the latest when asked to', async (t) => {
  const { shop, receiver, flow, id } = await failedAtUse(t)
  const changed = chain(receiver)
  changed.steps['use'] = post(receiver, '/use-2', 'end', { body: '{{steps.make.output.body.id}}' })
  delete changed.steps['after']
  await shop.publish(changed, flow)
  t.match(await retry(shop, id), { version: 1 })
  await shop.run()
  t.strictSame(paths(receiver).slice(2), ['/use', '/after'])
  t.match(await retry(shop, id, { version: 'latest' }), { version: 2, carried_steps: 2 })
  await shop.run()
  t.strictSame(paths(receiver).slice(4), ['/use-2'])
})

t.test('it is refused where it cannot go on, and says why', async (t) => {
  const { shop, receiver, flow, id } = await failedAtUse(t)
  const before = receiver.received.length
  t.equal(await refusal(shop, id, { from: 'nowhere' }), '422 retry_step_unknown')
  t.equal(await refusal(shop, id, { from: 'constructor' }), '422 retry_step_unknown')
  const changed = chain(receiver)
  changed.steps['more'] = post(receiver, '/more', 'use')
  changed.steps['make'] = post(receiver, '/make', 'more')
  changed.steps['use'] = post(receiver, '/use', 'end', { body: '{{steps.more.output.body.id}}' })
  await shop.publish(changed, flow)
  t.equal(await refusal(shop, id, { version: 'latest' }), '422 retry_outputs_missing')
  const detail = await shop.tenant.post(`/api/automation/executions/${id}/retry`, { version: 'latest' })
  t.match(detail.json<{ detail: string }>().detail, /steps\.more\.output/)
  t.equal(await refusal(shop, crypto.randomUUID()), '404 execution_not_found')
  await shop.db
    .updateTable('automation_flows')
    .set({ deleted_at: new Date() })
    .where('id', '=', flow)
    .execute()
  t.equal(await refusal(shop, id), '409 flow_version_missing')
  await shop.run()
  t.equal(receiver.received.length, before)
  t.equal((await shop.executions()).length, 1, 'nothing was written')
})

t.test('what has not ended, and what came to its end by itself, is not retried', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  await shop.publish(flowOf({ later: wait(HOUR_MS, 'call'), call: post(receiver, '/a', 'end') }))
  await shop.send('order.created', {})
  await shop.run()
  const { id } = await latest(shop)
  t.equal(await refusal(shop, id), '409 execution_not_ended')
  shop.pass(HOUR_MS + 60_000)
  await shop.run()
  t.equal(await refusal(shop, id), '409 nothing_to_retry')
  t.match(await retry(shop, id, { from: 'call' }), { carried_steps: 1 }, 'but it can be done again')
  await shop.run()
  t.strictSame(paths(receiver), ['/a', '/a'])
})

t.test('inside of a loop and of an error handler there is no place to start', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(422)
  await shop.publish(
    flowOf({
      loop: step({
        type: 'for_each',
        config: { list: '{{trigger.items}}', body: 'each', max_items: 10, concurrency: 1 },
        next: { done: 'end' },
      }),
      each: post(receiver, '/each', 'end', { loop: 'loop' }),
      handler: post(receiver, '/handler', 'end', { handler: true }),
    }),
  )
  await shop.send('order.created', { items: [1, 2] })
  await shop.run()
  const { id } = await latest(shop)
  t.equal(await refusal(shop, id, { from: 'each' }), '422 retry_step_inside')
  t.equal(await refusal(shop, id, { from: 'handler' }), '422 retry_step_inside')
  receiver.answer(200)
  const made = await retry(shop, id, { from: 'loop' })
  await shop.run()
  t.match(await read(shop, made.id), { status: 'completed' })
})

t.test('a cancelled execution goes on where it waited', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  await shop.publish(
    flowOf({
      call: post(receiver, '/a', 'later'),
      later: wait(HOUR_MS, 'last'),
      last: post(receiver, '/b', 'end'),
    }),
  )
  await shop.send('order.created', {})
  await shop.run()
  const { id } = await latest(shop)
  const cancelled = await shop.tenant.post(`/api/automation/executions/${id}/cancel`)
  t.match(cancelled.json(), { status: 'cancelled', reason: 'requested' })
  t.equal(
    (await shop.tenant.post(`/api/automation/executions/${id}/cancel`)).statusCode,
    200,
    'twice is once',
  )
  const made = await retry(shop, id)
  await shop.run()
  t.match(await read(shop, made.id), {
    status: 'waiting',
    waiting_for: [{ step_id: 'later' }],
    carried_steps: 1,
  })
  shop.pass(HOUR_MS + 60_000)
  await shop.run()
  t.strictSame(paths(receiver), ['/a', '/b'])
  t.equal((await shop.tenant.post(`/api/automation/executions/${made.id}/cancel`)).statusCode, 409)
})

t.test('a retry is enrolled under its key, and what cancels the flow cancels it', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(422)
  const enrolment = {
    key: '{{trigger.customer}}',
    while_active: 'skip' as const,
    reenter_after_ms: 24 * HOUR_MS,
    cancel_on: [{ event: 'order.paid', match: { customer: '{{trigger.customer}}' }, filter: null }],
  }
  await shop.publish(
    flowOf(
      { call: post(receiver, '/a', 'later'), later: wait(HOUR_MS, 'end') },
      { settings: settings({ enrolment }) },
    ),
  )
  await shop.send('order.created', { customer: 'ada' })
  await shop.run()
  const { id } = await latest(shop)
  receiver.answer(200)
  const made = await retry(shop, id)
  await shop.run()
  t.match(await read(shop, made.id), { status: 'waiting', key: 'ada', cancelled_by: ['order.paid'] })
  await shop.send('order.paid', { customer: 'ada' })
  await shop.run()
  t.match(await read(shop, made.id), { status: 'cancelled', reason: 'cancel_on' })
})

t.test('a retry does not start beside another execution under its key, if the flow says so', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(422)
  const enrolment = { key: '{{trigger.customer}}', while_active: 'skip' as const }
  await shop.publish(
    flowOf(
      { call: post(receiver, '/a', 'later'), later: wait(HOUR_MS, 'end') },
      { settings: settings({ enrolment }) },
    ),
  )
  await shop.send('order.created', { customer: 'ada' })
  await shop.run()
  const { id } = await latest(shop)
  receiver.answer(200)
  await shop.send('order.created', { customer: 'ada' })
  await shop.run()
  t.equal(await refusal(shop, id), '409 retry_refused')
  shop.pass(HOUR_MS + 60_000)
  await shop.run()
  t.match(await retry(shop, id), { status: 'queued', key: 'ada' })
})

t.test('a manual start can be retried with input that the flow takes, and with no other', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(422)
  const schema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] } as const
  const flow = await shop.publish(
    flowOf(
      { call: post(receiver, '/a', 'end', { body: '{{trigger.name}}' }) },
      { triggers: [{ id: 'trigger_1', type: 'manual', input_schema: schema as never }] },
    ),
  )
  await shop.db
    .insertInto('automation_executions')
    .values({
      tenant_id: shop.tenant.id,
      id: crypto.randomUUID(),
      flow_id: flow,
      version: 1,
      status: 'skipped',
      reason: 'rate_cap',
      trigger_kind: 'manual',
      trigger: '{"data":{"name":"Ada","big":12345678901234567890},"event":null}',
      state: JSON.stringify({ main: { step: 'call' }, loop: null, error: null, filtered: false }),
      expires_at: new Date(),
    })
    .execute()
  const { id } = await latest(shop)
  const refused = await shop.tenant.post(`/api/automation/executions/${id}/retry`, { trigger: { name: 7 } })
  t.equal(refused.statusCode, 400)
  t.match(refused.json(), { errors: [{ pointer: '/trigger/name' }] })
  const made = await retry(shop, id)
  const row = await shop.db
    .selectFrom('automation_executions')
    .select((eb) => eb.cast<string>('trigger', 'text').as('trigger'))
    .where('id', '=', made.id)
    .executeTakeFirstOrThrow()
  t.match(row.trigger, /12345678901234567890/, 'numbers stay what they are')
})

t.test('a failed loop goes on at the items that failed, and repeats nothing of the others', async (t) => {
  for (const handled of [false, true]) {
    const shop = await world.shop()
    const receiver = await startReceiver(t)
    let isBroken = true
    receiver.answer(({ path, body }, response) => {
      const fails = isBroken && path === '/second' && (body === '2' || body === '3')
      response.writeHead(fails ? 422 : 200).end('{}')
    })
    const second = post(receiver, '/second', 'end', { loop: 'loop', body: '{{item}}' })
    await shop.publish(
      flowOf({
        loop: step({
          type: 'for_each',
          config: { list: '{{trigger.items}}', body: 'first', max_items: 10, concurrency: 2 },
          next: { done: 'after' },
        }),
        first: post(receiver, '/first', 'second', { loop: 'loop', body: '{{item}}' }),
        second,
        after: post(receiver, '/after', 'end', { body: '{{steps.loop.output.count}}' }),
        ...(handled && { handler: post(receiver, '/handler', 'end', { handler: true }) }),
      }),
    )
    await shop.send('order.created', { items: [1, 2, 3, 4, 5] })
    await shop.run()
    const { id, status } = await latest(shop)
    t.equal(status, 'failed')
    const calls = (): string[] => receiver.received.map(({ path, body }) => `${path} ${body}`)
    const before = calls()
    const keysOf = (): unknown[] => receiver.received.map(({ headers }) => headers['idempotency-key'])
    const keys = keysOf()
    const succeeded = before.filter((call) => !['/second 2', '/second 3', '/handler '].includes(call))
    isBroken = false
    receiver.received.length = 0
    const made = await retry(shop, id, {})
    await shop.run()
    t.match(await read(shop, made.id), { status: 'completed', reason: 'done' })
    const again = calls()
    t.equal(new Set(keys).size, keys.length)
    t.strictSame(
      keysOf().filter((key) => keys.includes(key)),
      [],
      'a retry has keys of its own',
    )
    t.strictSame(
      again.filter((call) => succeeded.includes(call)),
      [],
      'nothing that had succeeded',
    )
    t.strictSame(
      [...succeeded, ...again].filter((call) => !call.startsWith('/handler')).sort(),
      ['/after 5', ...[1, 2, 3, 4, 5].flatMap((n) => [`/first ${n}`, `/second ${n}`])].sort(),
      'and all of the rest once',
    )
    const { steps } = await read(shop, made.id)
    t.equal(
      (steps as { step_id: string; status: string }[]).filter(
        (done) => done.step_id === 'second' && done.status === 'succeeded',
      ).length,
      5,
      'its own log has every item',
    )
  }
})

t.test('a loop that was cancelled goes on where it was, in bulk, too', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  await shop.publish(
    flowOf({
      loop: step({
        type: 'for_each',
        config: { list: '{{trigger.items}}', body: 'call', max_items: 10, concurrency: 1 },
        next: { done: 'end' },
      }),
      call: post(receiver, '/a', 'later', { loop: 'loop', body: '{{item}}' }),
      later: wait(HOUR_MS, 'end', 'loop'),
    }),
  )
  await shop.send('order.created', { items: [1, 2] })
  await shop.run()
  shop.pass(HOUR_MS)
  await shop.run()
  const { id } = await latest(shop)
  await world.app.flowEngine.cancel(shop.tenant.id, [id], 'test')
  const bulk = await shop.tenant.post('/api/automation/executions/retry', { status: ['cancelled'] })
  t.match(bulk.json(), { retried: 1, refused: [] })
  await shop.run()
  t.match(await latest(shop), { status: 'waiting' })
  shop.pass(HOUR_MS)
  await shop.run()
  t.match(await latest(shop), { status: 'completed' })
  t.strictSame(
    receiver.received.map(({ body }) => body),
    ['1', '2'],
  )
})

t.test('a step whose template cannot be read any more refuses a retry', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({ call: post(receiver, '/a', 'end', { body: '{{trigger.name | nonesuch}}' }) }),
  )
  await shop.send('order.created', { name: 'Ada' })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['failed'])
  const { id } = await latest(shop)
  const refused = await shop.tenant.post(`/api/automation/executions/${id}/retry`, {})
  t.match(refused.json(), { status: 409, code: 'retry_refused', detail: /^template_error: / })
})

t.test('a retry for which the shop has no room is refused', async (t) => {
  const shop = await world.shop()
  t.equal((await shop.tenant.put('/api/tenant/quotas', { waiting_executions: 1 })).statusCode, 200)
  const receiver = await startReceiver(t)
  answering(receiver, ['/use'])
  await shop.publish(chain(receiver))
  for (let n = 0; n < 2; n++) {
    await shop.send('order.created', { name: 'Ada' })
    await shop.run()
  }
  const [first, second] = await shop.executions()
  t.strictSame([first?.status, second?.status], ['failed', 'failed'])
  answering(receiver, [])
  await retry(shop, first?.id ?? '')
  const refused = await shop.tenant.post(`/api/automation/executions/${second?.id ?? ''}/retry`, {})
  t.match(refused.json(), { status: 422, code: 'quota_exceeded', quota: 'waiting_executions', limit: 1 })
  t.notOk('used' in refused.json<object>(), 'which is not counted beyond the limit')
  const bulk = await shop.tenant.post('/api/automation/executions/retry', {})
  t.match(bulk.json(), { retried: 0, refused: [{ reason: 'waiting_executions', count: 1 }] })
  await shop.run()
  // A process counts again a second after it found the quota used up.
  const deadline = Date.now() + 60_000
  while ((await refusal(shop, second?.id ?? '')) === '422 quota_exceeded' && Date.now() < deadline);
  t.strictSame((await shop.executions()).filter(({ status }) => status === 'queued').length, 1)
})
