import t from 'tap'
import { oneByOne } from '#console/src/kit/live/one-by-one.ts'

const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('hints that come while an answer is awaited let it come, and cause one more look', async (t) => {
  const answers: PromiseWithResolvers<undefined>[] = []
  let done = 0
  const looks = oneByOne(async () => {
    const answer = Promise.withResolvers<undefined>()
    answers.push(answer)
    await answer.promise
    done++
  })
  looks.look()
  looks.look()
  looks.look()
  t.equal(answers.length, 1)
  answers[0]?.resolve(undefined)
  await turn()
  t.equal(done, 1)
  t.equal(answers.length, 2, 'what changed meanwhile is read')
  answers[1]?.resolve(undefined)
  await turn()
  t.equal(answers.length, 2)
  looks.look()
  t.equal(answers.length, 3)
  looks.look()
  looks.end()
  answers[2]?.resolve(undefined)
  await turn()
  t.equal(answers.length, 3, 'none begins after the end')
})
