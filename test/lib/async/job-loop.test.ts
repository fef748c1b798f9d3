import t from 'tap'
import { JobLoop, type PassResult } from '#lib/async/job-loop.ts'

const NEVER_MS = 2 ** 31 - 1

/** A loop whose passes the test ends one by one; `next()` resolves when a pass has begun. */
function controlled(t: Tap, intervalMs = NEVER_MS) {
  const begun: { end: (result: PassResult) => void; fail: (error: Error) => void; signal: AbortSignal }[] = []
  const waiting: (() => void)[] = []
  const errors: unknown[] = []
  let taken = 0
  const loop = new JobLoop({
    pass: (signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<PassResult>()
      begun.push({ end: resolve, fail: reject, signal })
      for (const wake of waiting.splice(0)) wake()
      return promise
    },
    intervalMs: () => intervalMs,
    onError: (error) => errors.push(error),
  })
  t.teardown(() => loop.stop())
  const next = async () => {
    while (begun.length <= taken) await new Promise<void>((resolve) => waiting.push(resolve))
    const pass = begun[taken++]
    if (pass === undefined) throw new Error('no pass')
    return pass
  }
  return { loop, next, errors, count: () => begun.length }
}

type Tap = Pick<typeof t, 'teardown'>

t.test('what pauses is looked at again when its pause ends, whatever else waits for longer', async (t) => {
  const { loop, next } = controlled(t)
  loop.start()
  for (const pauseMs of [NEVER_MS, 1_000, NEVER_MS]) (await next()).end({ pauseMs })
  ;(await next()).end('idle')
  ;(await next()).end('idle')
})

t.test('goes on at once while there is more, then waits to be woken', async (t) => {
  const { loop, next, count } = controlled(t)
  loop.start()
  loop.start()
  ;(await next()).end('more')
  ;(await next()).end('idle')
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(count(), 2)
  loop.wake()
  ;(await next()).end('idle')
  t.equal(count(), 3)
})

t.test('a wake-up during a pass is not lost', async (t) => {
  const { loop, next, count } = controlled(t)
  loop.start()
  const pass = await next()
  loop.wake()
  pass.end('idle')
  ;(await next()).end('idle')
  t.equal(count(), 2)
})

t.test('looks again after the interval, also after a failure', async (t) => {
  const { loop, next, errors } = controlled(t, 1)
  loop.start()
  ;(await next()).end('idle')
  const failure = new Error('away')
  ;(await next()).fail(failure)
  ;(await next()).end('idle')
  t.strictSame(errors, [failure])
})

t.test('stop waits for the pass that is under way, and may come twice or first', async (t) => {
  const { loop, next, count } = controlled(t, 1)
  loop.start()
  const pass = await next()
  let stopped = false
  const stopping = Promise.all([loop.stop(), loop.stop()]).then(() => (stopped = true))
  t.equal(pass.signal.aborted, true)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(stopped, false)
  pass.end('more')
  await stopping
  t.equal(count(), 1)

  const unstarted = controlled(t)
  await unstarted.loop.stop()
  unstarted.loop.start()
  t.equal(unstarted.count(), 0)
})
