import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import { longestSilence } from '#test/support/silence.ts'
import type { CanonicalStep } from '#lib/flow/types.ts'
import { path, requestOf, simulateUnchanged, stop, waitPaid } from './support.ts'
import { DAY_MS, flowOf, HOUR_MS, post, startReceiver, startWorld, step, wait } from '../support.ts'

const world = await startWorld(t)

t.test('an error that is given takes the error port, else the handlers, else the flow fails', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const mocks = { call: { error: { code: 'http_500', message: 'broken' } } }
  const simulate = (flow: ReturnType<typeof flowOf>) => simulateUnchanged(t, world, shop, flow, { mocks })
  const port = await simulate(
    flowOf({
      call: post(receiver, '/', 'end', { error: 'after', retries: 3 }),
      after: stop('{{steps.call.output.error.code}}'),
    }),
  )
  t.strictSame(path(port), ['call error', 'after simulated'])
  t.match(port.steps, [{ status: 'failed', error: { code: 'http_500' } }, { note: 'http_500' }])
  const handled = await simulate(
    flowOf({ call: post(receiver, '/', 'end'), handler: post(receiver, '/h', 'end', { handler: true }) }),
  )
  t.strictSame(path(handled), ['call failed', 'handler success'])
  t.match(handled.end, { status: 'failed', reason: 'handled', handled: true, error: { step_id: 'call' } })
  const failed = await simulate(flowOf({ call: post(receiver, '/', 'end') }))
  t.match(failed.end, { status: 'failed', reason: null, handled: false, error: { code: 'http_500' } })
  t.equal(receiver.received.length, 0)
})

t.test('a step of a type that this release does not know fails as it would in an execution', async (t) => {
  const shop = await world.shop()
  const far = { ...stop(), type: 'teleport', next: { next: 'end' } } as unknown as CanonicalStep
  const simulation = await simulateUnchanged(t, world, shop, flowOf({ far }))
  t.match(simulation.steps, [
    { type: 'teleport', status: 'failed', error: { code: 'unknown_step' }, would: null },
  ])
  t.match(simulation.end, { status: 'failed', error: { code: 'unknown_step', step_id: 'far' } })
})

t.test('a wait takes the event that was given if it meets it, else it times out', async (t) => {
  const shop = await world.shop()
  const flow = flowOf({ paid: waitPaid('yes', 'no'), yes: stop(), no: stop() })
  const simulate = (data: unknown, type?: string) =>
    simulateUnchanged(t, world, shop, flow, {
      data: { order_id: 7 },
      mocks: { paid: { event: { data, ...(type !== undefined && { type }) } } },
    })
  const met = await simulate({ order_id: 7, by: 'card' })
  t.strictSame(path(met), ['paid received', 'yes simulated'])
  t.match(met.steps[0], {
    output: { event: { type: 'order.paid', data: { by: 'card' } }, alternative: 0 },
    finished_at: '2030-01-01T12:00:00.000Z',
  })
  for (const other of [await simulate({ order_id: 8 }), await simulate({ order_id: 7 }, 'order.refunded')]) {
    t.strictSame(path(other), ['paid timeout', 'no simulated'])
    t.match(other.steps[0], { note: 'the event that was given does not meet the wait' })
  }
})

t.test('an event that misses a wait by how an id is spelled says so', async (t) => {
  const shop = await world.shop()
  const flow = flowOf({ paid: waitPaid('yes', 'no'), yes: stop(), no: stop() })
  const noteOf = async (wanted: unknown, given: unknown): Promise<unknown> => {
    const mocks = { paid: { event: { data: { order_id: given } } } }
    const { steps } = await simulateUnchanged(t, world, shop, flow, { data: { order_id: wanted }, mocks })
    return steps[0]?.note
  }
  const missed = 'the event that was given does not meet the wait'
  for (const [wanted, given] of [
    ['A-1', 'a-1'],
    ['A-1', ' A-1 '],
    ['42', '42.0'],
    [42, '042'],
    ['-0.50', '-0.5'],
  ] as const) {
    const note = `${missed}: its order_id is ${JSON.stringify(given)}, the wait's ${JSON.stringify(String(wanted))}`
    t.equal(await noteOf(wanted, given), note)
  }
  for (const [wanted, given] of [
    ['A-1', 'A-2'],
    ['42', '420'],
    ['1', null],
    ['1', [1]],
  ] as const) {
    t.equal(await noteOf(wanted, given), missed, JSON.stringify([wanted, given]))
  }
})

t.test('items wait beside one another, and what is given for one item counts for that one', async (t) => {
  const shop = await world.shop()
  const flow = flowOf({
    each: step({
      type: 'for_each',
      config: { list: [1, 2, 3], body: 'paid', max_items: 10, concurrency: 3 },
      next: { done: 'end' },
    }),
    paid: waitPaid('end', 'late', 'each'),
    late: wait(HOUR_MS, 'end', 'each'),
  })
  const simulation = await simulateUnchanged(t, world, shop, flow, {
    data: { order_id: 7 },
    mocks: { 'paid:1': { event: { data: { order_id: 7 } } } },
  })
  t.strictSame(path(simulation).sort(), [
    'each done',
    'late:0 next',
    'late:2 next',
    'paid:0 timeout',
    'paid:1 received',
    'paid:2 timeout',
  ])
  t.match(simulation.end, { reason: 'done', finished_at: '2030-01-02T13:00:00.000Z' })
})

t.test('a template without its value fails its step and names it', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = flowOf({ call: post(receiver, '/', 'end', { body: { to: '{{trigger.email}}' } }) })
  const { steps, end } = await simulateUnchanged(t, world, shop, flow)
  t.match(steps, [
    { status: 'failed', error: { code: 'template_error', message: /trigger\.email/ }, would: null },
  ])
  t.match(end, { status: 'failed', error: { step_id: 'call' } })
  t.equal(receiver.received.length, 0)
})

t.test('an execution that would wait beyond its lifetime times out', async (t) => {
  const shop = await world.shop()
  const flow = flowOf({ one: wait(2 * DAY_MS, 'two'), two: wait(2 * DAY_MS, 'end') })
  flow.settings.lifetime_ms = 3 * DAY_MS
  const { steps, end } = await simulateUnchanged(t, world, shop, flow)
  t.equal(steps.length, 1)
  t.match(end, { status: 'timed_out', finished_at: '2030-01-04T12:00:00.000Z' })
})

t.test('a simulation is bounded, and others get their turn while it runs', async (t) => {
  const shop = await world.shop()
  const items = Array.from({ length: 1_000 }, (_, index) => index)
  const values = Array.from({ length: 2_000 }, (_, index) => index)
  const body = Object.fromEntries(
    Array.from({ length: 6 }, (_, index) => [
      `test_${index}`,
      step({
        type: 'condition',
        config: {
          condition: {
            field: 'trigger.values',
            operator: 'none',
            value: { field: 'item', operator: 'lt', value: 0 },
          },
        },
        next: { true: index === 5 ? 'end' : `test_${index + 1}`, false: 'end' },
        loop: 'each',
      }),
    ]),
  )
  const flow = flowOf({
    each: step({
      type: 'for_each',
      config: { list: items, body: 'test_0', max_items: 1_000, concurrency: 10 },
      next: { done: 'end' },
    }),
    ...body,
  })
  const request = requestOf(shop.tenant.id, flow, { data: { values } })
  const spent = cpuTimer()
  const simulated = world.app.flowEngine.simulate(request)
  const longest = await longestSilence(simulated)
  const took = spent()
  const { limit, end, steps } = await simulated
  t.equal(end, null)
  t.ok(limit === 'steps' ? steps.length === 5_000 : limit === 'time' && steps.length > 0, String(limit))
  t.ok(longest < took / 3, `held the process for ${Math.round(longest)} of ${Math.round(took)} ms`)

  const text = 'x'.repeat(200_000)
  const large = flowOf({
    each: step({
      type: 'for_each',
      config: { list: items, body: 'keep', max_items: 1_000, concurrency: 1 },
      next: { done: 'end' },
    }),
    keep: step({
      type: 'set',
      config: { variables: { kept: '{{trigger.text}}' } },
      next: { next: 'end' },
      loop: 'each',
    }),
  })
  const cut = await world.app.flowEngine.simulate(requestOf(shop.tenant.id, large, { data: { text } }))
  t.match(cut, { limit: 'size', end: null })
  t.ok(JSON.stringify(cut).length < 5 * 1024 * 1024)
})

t.test('an error that may pass by itself is retried as in truth, and no time passes', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const call = post(receiver, '/', 'after', { error: 'lost', retries: 3 })
  const flow = flowOf({ call, after: stop('done'), lost: stop('lost') })
  const simulate = (error: object, rest: object = {}) =>
    simulateUnchanged(t, world, shop, flow, { mocks: { call: { error, ...rest } as never } })
  const broken = { code: 'http_5xx', message: 'broken' }
  const passing = await simulate({ ...broken, times: 2 }, { output: { status: 200, body: { score: 5 } } })
  t.strictSame(path(passing), ['call success', 'after simulated'])
  t.match(passing.steps[0], { attempts: 3, output: { body: { score: 5 } }, note: 'the output was given' })
  t.ok(Date.parse(passing.steps[0]?.finished_at ?? '') > Date.parse(passing.steps[0]?.started_at ?? ''))
  t.strictSame(passing.unused_mocks, [])
  const lasting = await simulate(broken)
  t.strictSame(path(lasting), ['call error', 'lost simulated'])
  t.match(lasting.steps[0], { attempts: 4, error: broken })
  t.match((await simulate({ code: 'http_4xx', message: 'no' })).steps[0], { attempts: 1 })
  t.match((await simulate({ code: 'http_4xx', message: '429', transient: true })).steps[0], { attempts: 4 })
  t.match((await simulate({ ...broken, transient: false })).steps[0], { attempts: 1 })
  t.equal(receiver.received.length, 0)
})

t.test('a patience of a year ends at the limit of time, or before', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const call = post(receiver, '/', 'end')
  const retry = { max_retries: 3, patience_ms: 365 * DAY_MS, base_ms: 1, cap_ms: 1 }
  const flow = flowOf({ call: { ...call, retry } })
  const mocks = { call: { error: { code: 'timeout', message: 'no answer' } } }
  const simulated = await simulateUnchanged(t, world, shop, flow, { mocks })
  t.equal(simulated.limit, 'time')
})
