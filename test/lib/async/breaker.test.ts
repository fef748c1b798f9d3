import t from 'tap'
import { BREAKER_BASE_MS } from '#lib/async/backoff.ts'
import { Breaker, type Health, type Pass } from '#lib/async/breaker.ts'

const FAILURES = 5

function enter(breaker: Breaker, now: number): Pass {
  const pass = breaker.enter(now)
  if (typeof pass === 'number') throw new Error(`no pass for ${pass} ms`)
  return pass
}

function call(breaker: Breaker, now: number, health: Health): void {
  breaker.left(enter(breaker, now), health, now)
}

function opened(): Breaker {
  const breaker = new Breaker()
  for (let n = 0; n < FAILURES; n++) call(breaker, 0, 'down')
  return breaker
}

t.test('five failures in a row open it; an answer in between starts the count again', (t) => {
  const breaker = new Breaker()
  for (const health of [
    'down',
    'down',
    'down',
    'down',
    'up',
    'down',
    'down',
    'unknown',
    'down',
    'down',
  ] as const) {
    call(breaker, 0, health)
  }
  call(breaker, 0, 'down')
  t.equal(breaker.enter(0), BREAKER_BASE_MS)
  t.equal(breaker.enter(BREAKER_BASE_MS - 0.5), 1, 'waits are whole milliseconds, never 0')
  t.end()
})

t.test('after the pause one call tries, and the others wait for what it finds', (t) => {
  const breaker = opened()
  const trial = enter(breaker, BREAKER_BASE_MS)
  t.type(breaker.enter(BREAKER_BASE_MS), 'number')
  breaker.left(trial, 'up', BREAKER_BASE_MS)
  t.strictSame(breaker.enter(BREAKER_BASE_MS), { trial: false })
  t.end()
})

t.test('a trial that fails makes the pause longer', (t) => {
  const breaker = opened()
  call(breaker, BREAKER_BASE_MS, 'down')
  t.equal(breaker.enter(BREAKER_BASE_MS), 2 * BREAKER_BASE_MS)
  t.end()
})

t.test('a trial that found out nothing lets the next call try', (t) => {
  const breaker = opened()
  call(breaker, BREAKER_BASE_MS, 'unknown')
  t.strictSame(breaker.enter(BREAKER_BASE_MS), { trial: true })
  t.end()
})

t.test('a trial that never came back does not keep it open for ever', (t) => {
  const breaker = opened()
  enter(breaker, BREAKER_BASE_MS)
  t.type(breaker.enter(BREAKER_BASE_MS + 60_000), 'number')
  t.strictSame(breaker.enter(BREAKER_BASE_MS + 120_000), { trial: true })
  t.end()
})

t.test('calls that had begun before it opened do not stand for the trial', (t) => {
  const breaker = new Breaker()
  const old = enter(breaker, 0)
  for (let n = 0; n < FAILURES; n++) call(breaker, 0, 'down')
  const trial = enter(breaker, BREAKER_BASE_MS)
  breaker.left(old, 'down', BREAKER_BASE_MS)
  t.equal(breaker.enter(BREAKER_BASE_MS), 1_000, 'the trial is still under way, the pause not longer')
  breaker.left(trial, 'up', BREAKER_BASE_MS)
  t.strictSame(breaker.enter(BREAKER_BASE_MS), { trial: false })
  t.end()
})
