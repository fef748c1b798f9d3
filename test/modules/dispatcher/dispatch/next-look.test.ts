import t from 'tap'
import { NextLook } from '#modules/dispatcher/dispatch/next-look.ts'

t.test('a look always begins after it was asked for, and those who wait share one', async (t) => {
  const looks: PromiseWithResolvers<string>[] = []
  const looking = new NextLook<string>()
  const ask = () =>
    looking.get('plugin', () => {
      const look = Promise.withResolvers<string>()
      looks.push(look)
      return look.promise
    })
  const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

  const first = ask()
  await nextTurn()
  const [second, third] = [ask(), ask()]
  await nextTurn()
  t.equal(looks.length, 1, 'one at a time')
  looks[0]?.resolve('before')
  t.equal(await first, 'before')
  await nextTurn()
  t.equal(looks.length, 2)
  looks[1]?.resolve('after')
  t.strictSame(await Promise.all([second, third]), ['after', 'after'])
})

t.test('a look that fails is the failure of its askers alone', async (t) => {
  const looking = new NextLook<number>()
  const failing = looking.get('a', () => Promise.reject(new Error('away')))
  const other = looking.get('b', () => Promise.resolve(1))
  await t.rejects(failing, { message: 'away' })
  t.equal(await other, 1)
  t.equal(await looking.get('a', () => Promise.resolve(2)), 2)
})
