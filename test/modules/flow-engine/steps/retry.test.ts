import t from 'tap'
import { retryPauseMs } from '#modules/flow-engine/steps/retry.ts'

const POLICY = { max_retries: 3, base_ms: 1_000, cap_ms: 900_000 }
const PASSING = { transient: true, retryAfterMs: null }
const least = () => 0
const most = () => 1

t.test('each pause is twice the one before it, give or take a fifth', async (t) => {
  for (const [failures, pause] of [
    [1, 1_000],
    [2, 2_000],
    [3, 4_000],
  ] as const) {
    t.equal(retryPauseMs(POLICY, failures, PASSING, Infinity, least), pause * 0.8)
    t.equal(retryPauseMs(POLICY, failures, PASSING, Infinity, most), pause * 1.2)
  }
})

t.test('no pause is longer than the cap, not even one that was asked for', async (t) => {
  const many = { ...POLICY, max_retries: 2_000 }
  for (const failures of [20, 1_100, 2_000])
    t.equal(retryPauseMs(many, failures, PASSING, Infinity, most), 900_000)
  t.equal(retryPauseMs(POLICY, 1, { transient: true, retryAfterMs: 86_400_000 }), 900_000)
})

t.test('Retry-After wins over the pause of the policy, longer or shorter', async (t) => {
  t.equal(retryPauseMs(POLICY, 1, { transient: true, retryAfterMs: 30_000 }), 30_000)
  t.equal(retryPauseMs(POLICY, 3, { transient: true, retryAfterMs: 0 }), 0)
})

t.test('there is no retry of what is refused for good, nor beyond the policy’s count', async (t) => {
  t.equal(retryPauseMs(POLICY, 1, { transient: false, retryAfterMs: 1_000 }), null)
  t.equal(retryPauseMs(POLICY, 4, PASSING), null)
  t.equal(retryPauseMs({ ...POLICY, max_retries: 0 }, 1, PASSING), null)
  t.equal(retryPauseMs(null, 1, PASSING), null)
})

t.test('with patience it is retried until that is over, and no less often than the count says', async (t) => {
  const patient = { ...POLICY, max_retries: 1, patience_ms: 60_000 }
  t.equal(retryPauseMs(patient, 30, PASSING, 59_999, most), 900_000)
  t.equal(retryPauseMs(patient, 2, PASSING, 60_000, most), null)
  t.equal(retryPauseMs(patient, 1, PASSING, 60_000, most), 1_200)
  t.equal(retryPauseMs(patient, 1, { transient: false, retryAfterMs: null }, 0, most), null)
})
