import t from 'tap'
import { assumedWaits, summaryOf, type Tried, tryAll } from '#console/src/pages/flow/test/back-test.ts'

const event = (id: string) => ({
  id,
  event: 'order.paid',
  source_id: null,
  received_at: '2026-01-01T00:00:00Z',
})

t.test('names the waits for events that nothing was given for, and no delays', (t) => {
  const step = (id: string, would: object | null, output: unknown) => ({ step_id: id, would, output })
  const steps = [
    step('pause', { kind: 'wait' }, null),
    step('paid', { kind: 'wait', events: [{ event: 'order.paid' }] }, null),
    step('came', { kind: 'wait', events: [{ event: 'order.paid' }] }, { event: { id: 'e' } }),
    step('paid', { kind: 'wait', events: [{ event: 'order.paid' }] }, {}),
    step('tell', { kind: 'http' }, null),
  ] as unknown as Tried['test']['steps']
  t.strictSame(assumedWaits({ steps }), ['paid'])
  t.end()
})

t.test('counts what would have started, and what it would have done outside', (t) => {
  const start = (reason: string | null) =>
    ({ would_start: reason === null, reason }) as Tried['test']['start']
  const step = (id: string, kind: string | null) =>
    ({ step_id: id, would: kind === null ? null : { kind } }) as Tried['test']['steps'][number]
  const tried: Tried[] = [
    { event: event('1'), test: { start: start('filter'), end: null, steps: [], limit: null } },
    {
      event: event('2'),
      test: {
        start: start(null),
        end: { status: 'completed' } as Tried['test']['end'],
        steps: [step('pause', 'wait'), step('tell', 'http'), step('set', null)],
        limit: null,
      },
    },
    {
      event: event('3'),
      test: {
        start: start(null),
        end: { status: 'failed' } as Tried['test']['end'],
        steps: [step('ask', 'action'), step('tell', 'http'), step('tell', 'http')],
        limit: null,
      },
    },
    { event: event('4'), test: { start: start(null), end: null, steps: [], limit: 'time' } },
  ]
  t.strictSame(summaryOf(tried), {
    all: 4,
    started: 3,
    reasons: [['filter', 1]],
    ends: [
      ['completed', 1],
      ['failed', 1],
    ],
    limits: [['time', 1]],
    done: [
      ['tell', 3],
      ['ask', 1],
    ],
  })
  t.end()
})

t.test('some are tried at once; they are told in order, and not after it was stopped', async (t) => {
  const stop = new AbortController()
  let [now, most] = [0, 0]
  const told: number[][] = []
  const test = async (each: number): Promise<number> => {
    now++
    most = Math.max(most, now)
    for (let turn = 0; turn < 10 - each; turn++) await Promise.resolve()
    now--
    return each
  }
  await tryAll([0, 1, 2, 3, 4, 5, 6, 7], test, (results) => told.push([...results]), stop.signal)
  t.equal(most, 4)
  t.strictSame(told.at(-1), [0, 1, 2, 3, 4, 5, 6, 7])
  for (const results of told)
    t.strictSame(
      results,
      results.toSorted((one, other) => one - other),
    )
  told.length = 0
  await tryAll(
    [0, 1, 2, 3, 4, 5, 6, 7],
    test,
    (results) => {
      told.push([...results])
      stop.abort()
    },
    stop.signal,
  )
  t.equal(told.length, 1)
  await t.rejects(
    tryAll(
      [1],
      async () => Promise.reject(new Error('no')),
      () => undefined,
      new AbortController().signal,
    ),
    /no/,
  )
})

t.test('after a failure no other one is tried, and nothing more is told', async (t) => {
  const begun: number[] = []
  const others = Promise.withResolvers<undefined>()
  const told: unknown[] = []
  const test = async (each: number): Promise<number> => {
    begun.push(each)
    if (each === 1) throw new Error('no')
    await others.promise
    return each
  }
  const { signal } = new AbortController()
  await t.rejects(
    tryAll([0, 1, 2, 3, 4, 5, 6, 7], test, (results) => told.push(results), signal),
    /no/,
  )
  others.resolve(undefined)
  await new Promise((resolve) => setImmediate(resolve))
  t.strictSame(begun, [0, 1, 2, 3])
  t.strictSame(told, [])
})
