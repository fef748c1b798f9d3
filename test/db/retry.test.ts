import t from 'tap'
import { retryOnConflict } from '#db/retry.ts'

const conflict = Object.assign(new Error('deadlock detected'), { code: '40P01' })
const wrong = Object.assign(new Error('division by zero'), { code: '22012' })

/** Fails with these errors, one after the other, before it succeeds. */
function failing(...errors: Error[]): () => Promise<string> {
  return async () => {
    const error = errors.shift()
    if (error !== undefined) throw error
    return 'done'
  }
}

t.test('a transaction that met another is run again, as often as its caller says', async (t) => {
  t.equal(await retryOnConflict(3, failing(conflict, conflict)), 'done')
  await t.rejects(retryOnConflict(3, failing(conflict, conflict, conflict)), conflict)
  await t.rejects(retryOnConflict(3, failing(wrong)), wrong)
  t.equal(await retryOnConflict(2, failing(wrong), (error) => error === wrong), 'done')
})
