import type { ServerResponse } from 'node:http'
import t from 'tap'
import { readJson, writeJson } from '#db/json.ts'
import type { Condition } from '#lib/condition/index.ts'
import type { Shop } from '../support.ts'
import { flowOf, outcomes, post, registerMailer, startReceiver, step, startWorld } from '../support.ts'
import { lastStep, waitEvent } from '../wait/support.ts'

const world = await startWorld(t)

const DATA =
  '{"z":1,"id":9007199254740993,"price":1.10,"zero":-0,"huge":1e400,"power":1E2,"a":[24.90,{"n":12345678901234567890}]}'

const send = (shop: Shop, event: string, data: string) => shop.send(event, readJson(data))
const json = (body: string) => (_received: unknown, response: ServerResponse) =>
  void response.writeHead(200, { 'content-type': 'application/json' }).end(body)

/** A flow on `order.created` with that filter. */
function filtered(filter: Condition) {
  const nothing = step({ type: 'set', config: { variables: {} }, next: { next: 'end' } })
  return flowOf(
    { nothing },
    {
      triggers: [{ id: 'trigger_1', type: 'event', event_types: ['order.created'], filter, plugin_id: null }],
    },
  )
}

t.test(
  'numbers keep their text from the event through steps, waits and results to the read API',
  async (t) => {
    const shop = await world.shop()
    const receiver = await startReceiver(t)
    const plugin_id = await registerMailer(shop, receiver)
    const answer = '{"zz":9007199254740993,"amount":2.50,"huge":1e400}'
    receiver.answer(json(answer))
    const flow = await shop.publish(
      flowOf({
        keep: step({
          type: 'set',
          config: { variables: { id: '{{trigger.id}}', all: '{{trigger}}' } },
          next: { next: 'paid' },
        }),
        // The execution is written and read again here.
        paid: waitEvent(
          { any: [{ event: 'order.paid', match: { id: '{{variables.id}}' }, filter: null }] },
          { received: 'mail' },
        ),
        mail: step({
          type: 'action',
          config: {
            action_type: 'send_welcome_email',
            plugin_id,
            input: { to: 'a@example.com', template: '{{trigger.price}}', order: '{{trigger}}' },
          },
          next: { success: 'call' },
        }),
        call: post(receiver, '/call', 'end', {
          body: {
            all: '{{variables.all}}',
            text: 'id {{trigger.id}} price {{trigger.price}} zero {{trigger.zero}}',
            paid: '{{steps.paid.output.event.data}}',
            mailed: '{{steps.mail.output}}',
          },
        }),
      }),
    )
    await send(shop, 'order.created', DATA)
    await shop.run()
    await send(shop, 'order.paid', '{"id":9007199254740992}')
    await shop.run()
    t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'], 'a neighbour is another number')
    const paid = '{"id":9007199254740993.0,"at":0.0000001}'
    await send(shop, 'order.paid', paid)
    await shop.run()
    t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])

    const [mail, call] = receiver.received.map(({ body }) => body)
    const holds = (text: string | undefined, part: string) =>
      t.ok(text?.includes(part), `${part} is in ${text}`)
    holds(mail, `"order":${DATA}`)
    holds(mail, '"template":1.10')
    holds(call, `"all":${DATA}`)
    holds(call, '"text":"id 9007199254740993 price 1.10 zero -0"')
    holds(call, `"paid":${paid}`)
    holds(call, `"mailed":${answer}`)

    const [execution] = await shop.executions(flow)
    const shown = await shop.tenant.get(`/api/automation/executions/${execution?.id}`)
    holds(shown.body, `"trigger":${DATA}`)
    holds(shown.body, `"output":${answer}`)
    const log = await shop.tenant.get('/api/automation/event-log')
    holds(log.body, `"order":${DATA}`)
    holds(log.body, answer)
    const feed = await shop.tenant.get('/api/events')
    holds(feed.body, `"data":${DATA}`)
  },
)

t.test('a filter sees the number that came', async (t) => {
  const shop = await world.shop()
  const data = '{"id":9007199254740993,"price":1.10}'
  const meets: [Condition, boolean][] = [
    [{ field: 'trigger.id', operator: 'gt', value: 9007199254740992 }, true],
    [{ field: 'trigger.id', operator: 'equals', value: 9007199254740992 }, false],
    [{ field: 'trigger.price', operator: 'equals', value: 1.1 }, true],
    [{ field: 'trigger.price', operator: 'equals', value: '{{trigger.price}}' }, true],
  ]
  const flows: string[] = []
  for (const [filter] of meets) flows.push(await shop.publish(filtered(filter)))
  await send(shop, 'order.created', data)
  await shop.run()
  for (const [index, [filter, started]] of meets.entries()) {
    t.equal((await shop.executions(flows[index])).length > 0, started, JSON.stringify(filter))
  }
})

t.test("a wait's filter keeps the numbers of the flow", async (t) => {
  const shop = await world.shop()
  const filter: Condition = { field: 'event.data.total', operator: 'equals', value: '{{trigger.total}}' }
  const flow = await shop.publish(
    flowOf({ paid: waitEvent({ any: [{ event: 'order.paid', match: {}, filter }] }) }),
  )
  await send(shop, 'order.created', '{"total":9007199254740993}')
  await shop.run()
  const { filter: stored } = await shop.db
    .selectFrom('automation_waits')
    .select('filter')
    .where('tenant_id', '=', shop.tenant.id)
    .executeTakeFirstOrThrow()
  t.ok(writeJson(stored).includes('9007199254740993'))
  await send(shop, 'order.paid', '{"total":9007199254740992}')
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  await send(shop, 'order.paid', '{"total":9007199254740993}')
  await shop.run()
  t.match(await lastStep(shop, flow), { port: 'received' })
})

t.test('spellings of one number are one key and one match, whoever spells them', async (t) => {
  const shop = await world.shop()
  const enrolled = flowOf({
    paid: waitEvent({ any: [{ event: 'order.paid', match: { id: '{{trigger.id}}' }, filter: null }] }),
  })
  enrolled.settings.enrolment = {
    key: '{{trigger.id}}',
    while_active: 'skip',
    reenter_after_ms: null,
    cancel_on: [],
  }
  const flow = await shop.publish(enrolled)
  for (const id of ['5', '5.0', '50e-1']) await send(shop, 'order.created', `{"id":${id}}`)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), [
    'waiting/event',
    'skipped/already_active',
    'skipped/already_active',
  ])
  await send(shop, 'order.paid', '{"id":5.00}')
  await shop.run()
  t.match(await shop.executions(flow), [{ status: 'completed' }, {}, {}])
})

t.test('an event that is sent again with its numbers spelled otherwise is the same', async (t) => {
  const shop = await world.shop()
  const sent = async (data: string) => {
    const body = `{"event":"order.created","id":"ord_1","data":${data}}`
    return (await shop.tenant.post('/api/events', body)).json<{
      id: string
      duplicate?: boolean
      status?: number
    }>()
  }
  const first = await sent('{"price":1.10,"id":9007199254740993}')
  t.equal((await sent('{"id":9007199254740993.0,"price":1.1}')).id, first.id)
  t.match(await sent('{"id":9007199254740992,"price":1.1}'), { status: 409 })
})

t.test('a step that counts takes 3.0 for 3', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(
    flowOf({
      round: step({
        type: 'set',
        config: { variables: { price: '{{trigger.price | round: trigger.digits}}' } },
        next: { next: 'end' },
      }),
    }),
  )
  await send(shop, 'order.created', '{"price":2.34567,"digits":3.0}')
  await shop.run()
  t.match(await shop.executions(flow), [
    { status: 'completed', state: { main: { variables: { price: 2.346 } } } },
  ])
})
