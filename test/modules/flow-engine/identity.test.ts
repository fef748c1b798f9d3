import t from 'tap'
import type { EventMatch } from '#lib/flow/types.ts'
import { flowOf, outcomes, settings, type Shop, startWorld, wait, HOUR_MS } from './support.ts'
import { lastStep, waitEvent } from './wait/support.ts'

const world = await startWorld(t, { PLATFORM_URL: 'http://127.0.0.1:9', PLATFORM_TOKEN: 'token' })

/** Ids as they are sent when the flow starts and later, as JSON, and whether both are one thing. */
const PAIRS: readonly [first: string, later: string, isSame: boolean][] = [
  ['42', '"42"', true],
  ['"42"', '42', true],
  ['42.0', '42', true],
  ['42.5', '"42.5"', true],
  ['42', '"42.0"', false],
  ['42', '43', false],
  ['true', '"true"', true],
  ['true', '1', false],
  ['9007199254740993', '"9007199254740993"', true],
  ['"9007199254740993"', '9007199254740993', true],
  ['9007199254740993', '9007199254740993.0', true],
  ['9007199254740993', '9007199254740992', false],
  ['9007199254740993', '"9007199254740992"', false],
  ['{"no":42,"shop":"a"}', '{"shop":"a","no":42}', true],
  ['{"no":42}', '{"no":"42"}', false],
  ['{"no":42}', '{"no":43}', false],
  ['[42]', '42', false],
]

const MATCH: EventMatch = { event: 'order.paid', match: { ref: '{{trigger.ref}}' }, filter: null }
const FILTERS: readonly EventMatch['filter'][] = [
  { field: 'event.data.ref', operator: 'equals', value: '{{trigger.ref}}' },
  { field: 'event.data.ref', operator: 'in', value: ['none', '{{trigger.ref}}'] },
  { none: [{ field: 'event.data.ref', operator: 'not_equals', value: '{{trigger.ref}}' }] },
  { none: [{ field: 'event.data.ref', operator: 'not_in', value: ['{{trigger.ref}}'] }] },
]

/** An event whose `ref` is exactly this JSON. */
async function send(shop: Shop, event: string, ref: string): Promise<void> {
  const body = `{"event":"${event}","data":{"ref":${ref}}}`
  const response = await shop.tenant.post('/api/events', body, { 'content-type': 'application/json' })
  if (response.statusCode !== 202) throw new Error(response.body)
}

for (const [first, later, isSame] of PAIRS) {
  t.test(`${first} and ${later} are ${isSame ? 'one thing' : 'two things'}`, async (t) => {
    const shop = await world.shop()
    const waits = [MATCH, ...FILTERS.map((filter) => ({ ...MATCH, match: {}, filter }))]
    const waiting: string[] = []
    const cancelled: string[] = []
    for (const match of waits) {
      waiting.push(await shop.publish(flowOf({ paid: waitEvent({ any: [match] }) })))
      const cancel = settings({ enrolment: { cancel_on: [match] } })
      cancelled.push(await shop.publish(flowOf({ pause: wait(HOUR_MS, 'end') }, { settings: cancel })))
    }
    const back = await shop.publish(
      flowOf(
        { paid: waitEvent({ any: [MATCH], look_back_ms: HOUR_MS }) },
        { triggers: started('order.late') },
      ),
    )
    await send(shop, 'order.created', first)
    await shop.run()
    await send(shop, 'order.paid', later)
    await shop.run()
    await send(shop, 'order.late', first)
    await shop.run()
    const expected = isSame ? ['completed/done'] : ['waiting/event']
    for (const flow of [...waiting, back]) t.strictSame(outcomes(await shop.executions(flow)), expected)
    const ended = isSame ? ['cancelled/cancel_on'] : ['waiting/delay']
    for (const flow of cancelled) t.strictSame(outcomes(await shop.executions(flow)), ended)
  })

  t.test(`${first} and ${later} are ${isSame ? 'one key' : 'two keys'} of enrolment`, async (t) => {
    const shop = await world.shop()
    const enrolment = { key: '{{trigger.ref}}', while_active: 'skip' as const }
    const flow = await shop.publish(
      flowOf({ pause: wait(HOUR_MS, 'end') }, { settings: settings({ enrolment }) }),
    )
    await send(shop, 'order.created', first)
    await send(shop, 'order.created', later)
    await shop.run()
    const second = isSame ? 'skipped/already_active' : 'waiting/delay'
    t.strictSame(outcomes(await shop.executions(flow)), ['waiting/delay', second])
  })
}

t.test('a large number comes out of an execution that was put down as it came', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(
    flowOf({
      paid: waitEvent({ any: [MATCH], timeout_ms: HOUR_MS }, { received: 'paid_again' }),
      paid_again: waitEvent({ any: [MATCH] }),
    }),
  )
  await send(shop, 'order.created', '9007199254740993')
  await shop.run()
  await send(shop, 'order.paid', '"9007199254740993"')
  await shop.run()
  await send(shop, 'order.paid', '9007199254740993')
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.match(await lastStep(shop, flow), { step_id: 'paid_again', port: 'received' })
  const [execution] = await shop.executions(flow)
  const seen = await shop.tenant.get(`/api/automation/executions/${execution?.id ?? ''}`)
  t.match(seen.body, '"ref":9007199254740993')
  t.notMatch(seen.body, '9007199254740992')
})

function started(event: string) {
  return [{ id: 'trigger_1', type: 'event' as const, event_types: [event], filter: null, plugin_id: null }]
}

t.test('the compiler knows that a wait compares as text, and a condition does not', async (t) => {
  const shop = await world.shop()
  const test = { operator: 'equals', value: '5' }
  const problems = async (step: object): Promise<string[]> => {
    const definition = {
      name: 'Stock',
      trigger: { type: 'event', event_types: ['inventory.low'] },
      steps: [
        step,
        {
          id: 'tell',
          type: 'action',
          action_type: 'create_task',
          input: { title: 'Look', due_date: '{{now}}' },
        },
      ],
    }
    const response = await shop.tenant.post('/api/automation/flows/validate', definition)
    t.equal(response.statusCode, 200)
    return response.json<{ problems: { code: string }[] }>().problems.map(({ code }) => code)
  }
  const event = { event: 'inventory.updated', match: 'trigger.product_id', timeout: '1 day' }
  t.notMatch(
    await problems({
      id: 'wait',
      type: 'wait_event',
      ...event,
      filter: { field: 'event.data.available', ...test },
    }),
    ['always_false'],
  )
  t.match(await problems({ id: 'is_5', type: 'condition', condition: { field: 'available', ...test } }), [
    'always_false',
  ])
})
