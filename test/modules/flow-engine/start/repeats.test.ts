import t from 'tap'
import { Repeats, SeenStarts, type Suspects } from '#modules/flow-engine/start/repeats.ts'

const SECOND_MS = 1_000
const HOUR_MS = 3_600 * SECOND_MS

/** Processes that match one tenant's events in turns, and what they keep together. */
class Matchers {
  readonly #seen: SeenStarts[]
  #kept: Suspects = {}
  #turn = 0

  constructor(count: number) {
    this.#seen = Array.from({ length: count }, () => new SeenStarts())
  }

  /** An event comes. @returns how long its start waits, and whether the flow is its own cause */
  take(name: string, cameAtMs: number): { waitMs: number; isOwnCause: boolean } {
    const seen = this.#seen[this.#turn++ % this.#seen.length] as SeenStarts
    // What is kept crosses the database.
    const repeats = new Repeats(seen, structuredClone(this.#kept))
    const met = repeats.meet(name, cameAtMs)
    repeats.start(name, cameAtMs)
    this.#kept = repeats.changed ?? this.#kept
    return met
  }

  get suspects(): number {
    return Object.keys(this.#kept).length
  }
}

/** A loop: each start causes the next event after so long. @returns when it was found out, null: not within an hour */
function foundLoop(matchers: Matchers, answerMs: number, tokens = 1): number | null {
  const due = Array.from({ length: tokens }, (_, n) => (n * answerMs) / tokens)
  for (;;) {
    due.sort((a, b) => a - b)
    const at = due.shift() as number
    if (at > HOUR_MS) return null
    const { waitMs, isOwnCause } = matchers.take('loop', at)
    if (isOwnCause) return at
    due.push(at + waitMs + answerMs)
  }
}

t.test('a loop is found out at any pace down to 20 starts a minute, by any number of matchers', async (t) => {
  for (const matchers of [1, 2, 5]) {
    for (const answerMs of [100, 250, SECOND_MS, 3 * SECOND_MS]) {
      const at = foundLoop(new Matchers(matchers), answerMs)
      t.ok(at !== null && at < 15 * 60 * SECOND_MS, `${matchers} matchers, every ${answerMs} ms: ${at}`)
    }
  }
  t.ok(foundLoop(new Matchers(2), 2 * SECOND_MS, 8), 'eight that go round together')
  t.equal(foundLoop(new Matchers(1), 30 * SECOND_MS), null, 'twice a minute is not looked into')
})

t.test('what comes of others goes on, however much of it there is', async (t) => {
  let random = 42
  const next = (): number => (random = (random * 16_807) % 2_147_483_647) / 2_147_483_647
  const senders: Record<string, () => number> = {
    'at random, twice a second': () => -Math.log(next()) * 500,
    'at random, once a second': () => -Math.log(next()) * SECOND_MS,
    'every 2 s by the clock': () => 2 * SECOND_MS,
    '20 a second': () => 50,
    'in bursts of a minute': () => (next() < 1 / 120 ? 600 * SECOND_MS : 500),
  }
  for (const [how, pause] of Object.entries(senders)) {
    const matchers = new Matchers(2)
    let held = 0
    for (let at = 0; at < 4 * HOUR_MS; at += pause()) {
      const { waitMs, isOwnCause } = matchers.take('busy', at)
      if (isOwnCause) t.fail(`${how}: taken for its own cause`)
      if (waitMs > 0) held++
    }
    t.ok(held > 0, `${how}: tried`)
  }
})

t.test('who was cleared starts at once for an hour and longer', async (t) => {
  const matchers = new Matchers(1)
  const held: number[] = []
  for (let at = 0; at < 4 * HOUR_MS; at += SECOND_MS) {
    if (matchers.take('busy', at).waitMs > 0) held.push(at)
  }
  const trials = held.filter((at, n) => at - (held[n - 1] ?? -HOUR_MS) > 60 * SECOND_MS)
  t.equal(trials.length, 3, 'at the beginning, after one hour, and after two more')
  t.equal(matchers.suspects, 1)
})

t.test('a few dozen are kept at once', async (t) => {
  const matchers = new Matchers(1)
  for (let n = 0; n < 100; n++) {
    for (let at = 0; at < 10 * SECOND_MS; at += SECOND_MS) matchers.take(`thing ${n}`, n * 1_000 + at)
  }
  t.equal(matchers.suspects, 32)
})
