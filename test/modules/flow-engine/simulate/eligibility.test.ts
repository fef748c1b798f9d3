import t from 'tap'
import type { Trigger } from '#lib/flow/types.ts'
import { simulateUnchanged } from './support.ts'
import { DAY_MS, flowOf, HOUR_MS, settings, startWorld, wait } from '../support.ts'

const world = await startWorld(t)

const ORDERS: Trigger = {
  id: 'orders',
  type: 'event',
  event_types: ['order.created'],
  filter: { field: 'trigger.total', operator: 'gte', value: 100 },
  plugin_id: 'platform',
}

t.test('a trigger that is not met says what came closest, and no step is taken', async (t) => {
  const shop = await world.shop()
  const refunds = { ...ORDERS, id: 'refunds', event_types: ['order.refunded'] }
  const flow = flowOf({ later: wait(HOUR_MS, 'end') }, { triggers: [refunds, ORDERS] })
  const source = (event: { source: string }) => ({
    ...event,
    id: 'e',
    type: 'order.created',
    timestamp: '',
    data: {},
  })
  const cases = [
    [{ data: { total: 99 } }, 'filter'],
    [{ data: {} }, 'filter'],
    [{ data: { total: 100 }, event: 'order.paid' }, 'event_type'],
    [{ trigger: { event: source({ source: crypto.randomUUID() }) } }, 'source'],
    [{ data: { total: 100 }, trigger: { id: 'refunds' } }, 'event_type'],
    [{ data: { total: 100 }, trigger: { kind: 'webhook' } }, 'no_trigger'],
    [{ data: { total: 100 }, trigger: { causationDepth: 9 } }, 'causation_depth'],
  ] as const
  for (const [given, reason] of cases) {
    const simulation = await simulateUnchanged(t, world, shop, flow, given)
    t.match(simulation, {
      start: { would_start: false, reason, message: /\w/ },
      end: null,
      steps: { length: 0 },
    })
  }
  const started = await simulateUnchanged(t, world, shop, flow, { data: { total: 100 } })
  t.match(started, { start: { would_start: true, trigger: 'orders' }, end: { status: 'completed' } })
  const anyway = await simulateUnchanged(t, world, shop, flow, { data: { total: 1 }, startAnyway: true })
  t.match(anyway, { start: { would_start: false, reason: 'filter' }, end: { status: 'completed' } })
})

t.test('triggers without an event are tested as what starts them does', async (t) => {
  const shop = await world.shop()
  const flow = flowOf(
    { later: wait(HOUR_MS, 'end') },
    {
      triggers: [
        { id: 'hand', type: 'manual', input_schema: { type: 'object', required: ['customer'] } },
        {
          id: 'inlet',
          type: 'webhook',
          filter: { field: 'trigger.kind', operator: 'equals', value: 'lead' },
        },
        { id: 'daily', type: 'schedule', cron: '@daily', timezone: 'UTC', catch_up: 'skip' },
      ],
    },
  )
  const simulate = (kind: 'manual' | 'webhook' | 'schedule', data: unknown) =>
    simulateUnchanged(t, world, shop, flow, { trigger: { kind, data, event: null } })
  t.match((await simulate('manual', {})).start, { would_start: false, reason: 'input', message: /customer/ })
  t.match((await simulate('manual', { customer: 1 })).start, { would_start: true, trigger: 'hand' })
  t.match((await simulate('webhook', { kind: 'spam' })).start, { would_start: false, reason: 'filter' })
  t.match((await simulate('webhook', { kind: 'lead' })).start, { would_start: true, trigger: 'inlet' })
  t.match((await simulate('schedule', { scheduled_at: '' })).start, { would_start: true, trigger: 'daily' })
})

t.test('the enrolment decides by what is under way, and keeps it under way', async (t) => {
  const shop = await world.shop()
  const cancel_on = [{ event: 'order.paid', match: { order_id: '{{trigger.order_id}}' }, filter: null }]
  const enrol = (while_active: 'skip' | 'restart' | 'allow', reenter_after_ms: number | null = null) =>
    flowOf(
      { later: wait(HOUR_MS, 'end') },
      {
        settings: settings({
          enrolment: { key: '{{trigger.customer}}', while_active, reenter_after_ms, cancel_on },
        }),
      },
    )
  const flowId = await shop.publish(enrol('skip'))
  const eventId = await shop.send('order.created', { customer: 'ann', order_id: 7 })
  await shop.run()
  const [active] = await shop.executions(flowId)
  t.equal(active?.status, 'waiting')
  const simulate = (flow: ReturnType<typeof enrol>, customer: string | undefined = 'ann', now = shop.now()) =>
    simulateUnchanged(t, world, shop, flow, { flowId, now, data: { customer, order_id: 7 } })
  t.match((await simulate(enrol('skip'))).start, {
    would_start: false,
    reason: 'already_active',
    key: 'ann',
    cancel_on: [{ event: 'order.paid', match: { order_id: 7 }, filtered: false }],
  })
  t.match((await simulate(enrol('restart'))).start, { would_start: true, would_restart: [active?.id] })
  t.match((await simulate(enrol('allow'))).start, { would_start: true, would_restart: [] })
  t.match((await simulate(enrol('skip'), 'bob')).start, { would_start: true, key: 'bob' })
  t.match((await simulate(enrol('allow', DAY_MS))).start, {
    would_start: false,
    reason: 'reentered_too_soon',
  })
  const later = new Date(shop.now().getTime() + 2 * DAY_MS)
  t.match((await simulate(enrol('allow', DAY_MS), 'ann', later)).start, { would_start: true })
  const again = await simulateUnchanged(t, world, shop, enrol('skip'), {
    flowId,
    trigger: {
      data: { customer: 'ann', order_id: 7 },
      event: { id: eventId, type: 'order.created', timestamp: '', source: 'platform', data: {} },
    },
  })
  t.match(again.start, { would_start: true, already_started: true })
  const without = await simulateUnchanged(t, world, shop, enrol('skip'), { flowId, data: { order_id: 7 } })
  t.match(without.start, { would_start: false, reason: 'template_error', message: /trigger\.customer/ })
})
