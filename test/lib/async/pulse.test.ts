import t from 'tap'
import { JobLoop } from '#lib/async/job-loop.ts'
import { Pulse, worstOf } from '#lib/async/pulse.ts'

const NOTHING = { busyMs: 0, failingMs: 0 }

/** Turns the event loop until a clock has gone on. */
async function aMoment(): Promise<void> {
  const from = performance.now()
  while (performance.now() === from) await new Promise((resolve) => setImmediate(resolve))
}

t.test('what is under way is busy until it ends', async (t) => {
  const pulse = new Pulse()
  t.strictSame(pulse.standing, NOTHING)
  pulse.begin()
  await aMoment()
  const { busyMs } = pulse.standing
  t.ok(busyMs > 0)
  pulse.succeed()
  t.strictSame(pulse.standing, NOTHING)
})

t.test('one failure may pass by itself, the second counts from the first', async (t) => {
  const pulse = new Pulse()
  pulse.begin()
  pulse.fail()
  await aMoment()
  t.strictSame(pulse.standing, NOTHING)
  pulse.begin()
  pulse.fail()
  t.ok(pulse.standing.failingMs > 0)
  pulse.begin()
  t.ok(pulse.standing.failingMs > 0, 'also while it is tried again')
  pulse.succeed()
  t.strictSame(pulse.standing, NOTHING)
})

t.test('of several the worst counts', (t) => {
  t.strictSame(worstOf({ busyMs: 1, failingMs: 5 }, { busyMs: 3, failingMs: 2 }), { busyMs: 3, failingMs: 5 })
  t.end()
})

t.test('a loop tells how its passes stand', async (t) => {
  const outcomes = [new Error('no'), new Error('no'), null]
  const seen: number[] = []
  let done = (): void => undefined
  const ended = new Promise<void>((resolve) => (done = resolve))
  const loop: JobLoop = new JobLoop({
    pass: async () => {
      await aMoment()
      const outcome = outcomes.shift()
      seen.push(loop.standing.failingMs)
      t.ok(loop.standing.busyMs > 0)
      loop.progress()
      if (outcome instanceof Error) throw outcome
      if (outcome === undefined) done()
      return outcome === undefined ? 'idle' : 'more'
    },
    intervalMs: () => 0,
    onError: () => undefined,
  })
  loop.start()
  await ended
  await loop.stop()
  t.strictSame(
    seen.slice(0, 4).map((ms) => ms > 0),
    [false, false, true, false],
  )
  t.strictSame(loop.standing, NOTHING)
})
