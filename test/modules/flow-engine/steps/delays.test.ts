import t from 'tap'
import { DAY_MS, flowOf, HOUR_MS, outcomes, post, startReceiver, startWorld, step, wait } from '../support.ts'
import { lastStep } from '../wait/support.ts'

const world = await startWorld(t)

t.test('a delay until a time with an offset waits, or if that has passed runs or skips', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const remind = (if_past: 'run_now' | 'skip') =>
    flowOf({
      before: step({
        type: 'delay',
        config: { kind: 'until', until: '{{trigger.starts_at}}', offset_ms: -DAY_MS, if_past },
        next: { next: 'call' },
      }),
      call: post(receiver, `/${if_past}`, 'end'),
    })
  const run = await shop.publish(remind('run_now'))
  const skip = await shop.publish(remind('skip'))
  await shop.send('order.created', { starts_at: new Date(shop.now().getTime() + HOUR_MS).toISOString() })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(run)), ['completed/done'])
  t.strictSame(outcomes(await shop.executions(skip)), ['completed/filtered'])
  t.match(await lastStep(shop, skip), { status: 'skipped' })
  t.strictSame(
    receiver.received.map(({ path }) => path),
    ['/run_now'],
  )
  const startsAt = new Date(shop.now().getTime() + 2 * DAY_MS)
  await shop.send('order.created', { starts_at: startsAt.toISOString() })
  await shop.run()
  const [, later] = await shop.executions(skip)
  t.match(later, { status: 'waiting', reason: 'delay', due_at: new Date(startsAt.getTime() - DAY_MS) })
  shop.pass(DAY_MS)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(skip)), ['completed/filtered', 'completed/done'])
})

t.test('a step may take months, as many milliseconds as those are', async (t) => {
  const shop = await world.shop()
  await shop.publish(flowOf({ delay_1: wait(60 * DAY_MS, 'end') }))
  await shop.send('order.created', {})
  await shop.run()
  shop.pass(60 * DAY_MS)
  await shop.run()
  const [execution] = await shop.executions()
  t.match(execution, { status: 'completed', reason: 'done', error: null })
  const [step] = await shop.steps(execution?.id ?? '')
  t.ok((step?.duration_ms ?? 0) >= 60 * DAY_MS)
})
