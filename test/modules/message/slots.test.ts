import t from 'tap'
import { Slots } from '#modules/message/slots.ts'

const FOREVER_MS = 60_000

t.test('who comes when all are taken gets the next one that is given back', async (t) => {
  const slots = new Slots(2, 2)
  t.ok(await slots.take('a', FOREVER_MS))
  t.ok(await slots.take('b', FOREVER_MS))
  const order: string[] = []
  const first = slots.take('c', FOREVER_MS).then(() => order.push('first'))
  const second = slots.take('d', FOREVER_MS).then(() => order.push('second'))
  slots.giveBack('a')
  await first
  slots.giveBack('b')
  await second
  t.strictSame(order, ['first', 'second'])
})

t.test('a key that has its share waits while another one is let in', async (t) => {
  const slots = new Slots(3, 1)
  await slots.take('busy', FOREVER_MS)
  let isIn = false
  const waiting = slots.take('busy', FOREVER_MS).then(() => (isIn = true))
  t.ok(await slots.take('other', FOREVER_MS))
  slots.giveBack('other')
  t.ok(await slots.take('other', FOREVER_MS))
  t.notOk(isIn)
  slots.giveBack('busy')
  await waiting
  t.ok(isIn)
})

t.test('who has waited for too long goes without, and is no longer in the way', async (t) => {
  const slots = new Slots(1, 1)
  await slots.take('a', FOREVER_MS)
  t.notOk(await slots.take('b', 5))
  const last = slots.take('c', FOREVER_MS)
  slots.giveBack('a')
  t.ok(await last)
})
