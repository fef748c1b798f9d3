import t from 'tap'
import { Batcher } from '#lib/async/batcher.ts'

/** Flushes that wait until they are let go. */
function held() {
  const batches: { items: readonly number[]; go: () => void; fail: (error: Error) => void }[] = []
  const flush = (items: readonly number[]): Promise<readonly number[]> =>
    new Promise((resolve, reject) => {
      batches.push({ items, go: () => resolve(items.map((item) => item * 10)), fail: reject })
    })
  return { batches, flush }
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)))

t.test('what is asked for in one turn travels together, each with its own result', async (t) => {
  const { batches, flush } = held()
  const batcher = new Batcher({ max: 10, concurrency: 1, flush })
  const answers = Promise.all([1, 2, 3].map((item) => batcher.add(item)))
  await nextTurn()
  t.strictSame(
    batches.map(({ items }) => items),
    [[1, 2, 3]],
  )
  batches[0]?.go()
  t.strictSame(await answers, [10, 20, 30])
})

t.test(
  'what comes while flushes are under way waits for a free one, in order, at most so many',
  async (t) => {
    const { batches, flush } = held()
    const batcher = new Batcher({ max: 2, concurrency: 2, flush })
    const answers = Promise.all([1, 2, 3, 4, 5].map((item) => batcher.add(item)))
    await nextTurn()
    await nextTurn()
    t.strictSame(
      batches.map(({ items }) => items),
      [
        [1, 2],
        [3, 4],
      ],
    )
    batches[1]?.go()
    await nextTurn()
    t.strictSame(batches[2]?.items, [5])
    batches[0]?.go()
    batches[2]?.go()
    t.strictSame(await answers, [10, 20, 30, 40, 50])
  },
)

t.test('a flush that fails is the failure of its own items alone', async (t) => {
  const { batches, flush } = held()
  const batcher = new Batcher({ max: 1, concurrency: 1, flush })
  const first = batcher.add(1)
  const second = batcher.add(2)
  await nextTurn()
  batches[0]?.fail(new Error('refused'))
  await t.rejects(first, { message: 'refused' })
  await nextTurn()
  batches[1]?.go()
  t.equal(await second, 20)
})

t.test('a flush that throws or answers for fewer items leaves nobody waiting', async (t) => {
  const few = new Batcher<number, number>({ max: 9, concurrency: 1, flush: () => Promise.resolve([1]) })
  for (const answer of await Promise.allSettled([few.add(1), few.add(2)])) t.equal(answer.status, 'rejected')
  const broken = new Batcher<number, number>({
    max: 9,
    concurrency: 1,
    flush: () => {
      throw new Error('broken')
    },
  })
  await t.rejects(broken.add(1), { message: 'broken' })
  await t.rejects(broken.add(2), { message: 'broken' }, 'and it goes on')
})

t.test('what may lie in one item is looked for by halves: the others get their answers', async (t) => {
  const flushed: number[][] = []
  const flush = async (items: readonly number[]): Promise<number[]> => {
    flushed.push([...items])
    if (items.includes(3)) throw new Error('three')
    if (items.includes(9)) throw new Error('away')
    return items.map((item) => item * 10)
  }
  const mayLieInOne = (error: unknown): boolean => (error as Error).message === 'three'
  const batcher = new Batcher({ max: 9, concurrency: 1, flush, mayLieInOne })
  const settled = await Promise.allSettled([1, 2, 3, 4, 5].map((item) => batcher.add(item)))
  t.strictSame(
    settled.map((one) => (one.status === 'fulfilled' ? one.value : (one.reason as Error).message)),
    [10, 20, 'three', 40, 50],
  )
  t.strictSame(flushed, [[1, 2, 3, 4, 5], [1, 2, 3], [1, 2], [3], [4, 5]])
  const away = await Promise.allSettled([8, 9].map((item) => batcher.add(item)))
  t.strictSame(
    away.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  t.strictSame(flushed.at(-1), [8, 9], 'what lies in none of them is not tried again')
})
