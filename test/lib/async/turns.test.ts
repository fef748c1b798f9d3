import t from 'tap'
import { Turns } from '#lib/async/turns.ts'

t.test('so many work at a time, the others in the order in which they came', async (t) => {
  const turns = new Turns(2)
  const started: number[] = []
  const finish: (() => void)[] = []
  const all = [0, 1, 2, 3].map((index) =>
    turns.run(async () => {
      started.push(index)
      await new Promise<void>((resolve) => (finish[index] = resolve))
      return index
    }),
  )
  t.strictSame(started, [0, 1])
  finish[1]?.()
  t.equal(await all[1], 1)
  t.strictSame(started, [0, 1, 2])
  finish[0]?.()
  await all[0]
  t.strictSame(started, [0, 1, 2, 3])
  finish[2]?.()
  finish[3]?.()
  t.strictSame(await Promise.all(all), [0, 1, 2, 3])
})

t.test('who fails makes room all the same', async (t) => {
  const turns = new Turns(1)
  const failing = turns.run(() => Promise.reject(new Error('broken')))
  const next = turns.run(() => Promise.resolve('done'))
  await t.rejects(failing, { message: 'broken' })
  t.equal(await next, 'done')
  t.equal(await turns.run(() => Promise.resolve('again')), 'again')
})
