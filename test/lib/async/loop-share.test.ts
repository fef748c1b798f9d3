import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { LoopShare } from '#lib/async/loop-share.ts'
import { longestSilence } from '#test/support/silence.ts'

/** Holds the event loop, as a unit of work does. */
function work(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

t.test('who has little to do goes on at once', (t) => {
  const share = new LoopShare(60_000)
  t.equal(share.turn('a'), null)
  t.equal(share.turn('b'), null)
  t.end()
})

t.test('parties get their slices one after the other, whoever has queued most', async (t) => {
  const share = new LoopShare()
  const order: string[] = []
  const run = async (party: string, units: number): Promise<void> => {
    for (let unit = 0; unit < units; unit++) {
      const turn = share.turn(party)
      if (turn !== null) await turn
      work(10)
      order.push(party)
    }
  }
  const heavy = Array.from({ length: 20 }, () => run('heavy', 3))
  const light = run('light', 3)
  const silence = await longestSilence(Promise.all([...heavy, light]))
  t.equal(order.length, 63)
  t.ok(
    order.lastIndexOf('light') < 12,
    `${order.lastIndexOf('light')}: three units within a few turns of two`,
  )
  t.ok(silence < 300, `the loop went round between the slices, silent for ${silence} ms of 630`)
})

t.test('many that have little left all go on within one round of the loop', async (t) => {
  const share = new LoopShare(1_000)
  let resumed = 0
  void share.turn('a')
  work(1_001)
  const waiting = Array.from({ length: 500 }, async (_, index) => {
    await share.turn(`party ${index % 7}`)
    resumed++
  })
  t.equal(resumed, 0)
  await setImmediate()
  await setImmediate()
  t.ok(resumed > 100, `${resumed} were resumed`)
  await Promise.all(waiting)
  t.equal(resumed, 500)
})

t.test('who keeps the loop busy is known, as long as it lasts', async (t) => {
  const share = new LoopShare()
  t.notOk(share.isBusy)
  for (let unit = 0; unit < 12; unit++) {
    await share.turn('heavy')
    work(60)
    await share.turn('light')
    work(1)
  }
  t.ok(share.isBusy)
  t.ok(share.isHeavy('heavy'))
  t.notOk(share.isHeavy('light'))
  t.notOk(share.isHeavy('somebody else'))
})

t.test(
  'work that cannot wait for a turn is charged to whose it is, and not to who had the turn before',
  (t) => {
    const share = new LoopShare()
    void share.turn('light')
    t.equal(
      share.charged('heavy', () => {
        work(1_200)
        return 'done'
      }),
      'done',
    )
    t.ok(share.isBusy)
    t.ok(share.isHeavy('heavy'))
    t.notOk(share.isHeavy('light'))
    t.throws(() =>
      share.charged('light', () => {
        throw new Error('fails')
      }),
    )
    t.end()
  },
)
