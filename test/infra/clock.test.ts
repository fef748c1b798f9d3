import t from 'tap'
import { measureClock } from '#infra/clock.ts'
import { createTestDatabase } from '#test/support/database.ts'

const DAY_MS = 24 * 3_600_000
/** Neither a question to the database nor a slow machine takes so long. */
const NEAR_MS = 10 * 60_000

/** A clock that is a day ahead when first asked, and right from then on. */
function setRightMeanwhile(): () => number {
  let looks = 0
  return () => Date.now() + (looks++ === 0 ? DAY_MS : 0)
}

t.test('a comparison during which the clock was set back does not count', async (t) => {
  const { pool } = await createTestDatabase(t)
  const { ms, uncertaintyMs } = await measureClock(pool, setRightMeanwhile())
  t.ok(Math.abs(ms) < NEAR_MS, `${ms} ms`)
  t.ok(uncertaintyMs >= 0 && uncertaintyMs < NEAR_MS, `${uncertaintyMs} ms`)
})

t.test('a clock that is set back all the time has no offset', async (t) => {
  const { pool } = await createTestDatabase(t)
  let time = Date.now()
  await t.rejects(
    measureClock(pool, () => (time -= DAY_MS)),
    { message: /set back/ },
  )
})
