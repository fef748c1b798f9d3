import t from 'tap'
import {
  assumedWaits,
  type EventOutcome,
  GONE,
  summaryOf,
  type Tried,
  tryAll,
} from '#console/src/pages/flow/test/back-test.ts'

const event = (id: string) => ({
  id,
  event: 'order.paid',
  source_id: null,
  received_at: '2026-01-01T00:00:00Z',
})

t.test('names the waits for events that nothing was given for, and no delays', (t) => {
  const done = [
    { step_id: 'pause', kind: 'wait', count: 1 },
    { step_id: 'paid', kind: 'wait', count: 2 },
    { step_id: 'tell', kind: 'http', count: 1 },
  ]
  const outcome = (isStarted: boolean) =>
    ({ event_id: '1', start: { would_start: isStarted }, done }) as unknown as EventOutcome
  const isAssumed = (step: string): boolean => step !== 'pause'
  t.strictSame(assumedWaits(outcome(true), isAssumed), ['paid'])
  t.strictSame(assumedWaits(outcome(false), isAssumed), [])
  t.end()
})

t.test('counts what would have started, and what it would have done outside', (t) => {
  const start = (reason: string | null) => ({ would_start: reason === null, reason }) as EventOutcome['start']
  const end = (status: string) => ({ status }) as EventOutcome['end']
  const outcome = (id: string, of: Partial<EventOutcome>): Tried => ({
    event: event(id),
    outcome: { event_id: id, start: start(null), end: null, limit: null, done: [], ...of },
  })
  const tried: Tried[] = [
    outcome('1', { start: start('filter') }),
    outcome('2', {
      end: end('completed'),
      done: [
        { step_id: 'pause', kind: 'wait', count: 1 },
        { step_id: 'tell', kind: 'http', count: 1 },
      ],
    }),
    outcome('3', {
      end: end('failed'),
      done: [
        { step_id: 'ask', kind: 'action', count: 1 },
        { step_id: 'tell', kind: 'http', count: 2 },
      ],
    }),
    outcome('4', { limit: 'time' }),
    outcome('5', { start: null }),
  ]
  t.strictSame(summaryOf(tried), {
    all: 5,
    started: 3,
    reasons: [
      ['filter', 1],
      [GONE, 1],
    ],
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

const results = (ids: readonly string[]): EventOutcome[] =>
  ids.map((event_id) => ({ event_id, start: null, end: null, limit: null, done: [] }))
const ID_LIST = ['a', 'b', 'c', 'd', 'e']

t.test('what the service did not get through is asked for again, and told in order', async (t) => {
  const asked: string[][] = []
  const told: string[][] = []
  const test = async (ids: readonly string[]): Promise<EventOutcome[]> => {
    asked.push([...ids])
    return results(ids.slice(0, 2))
  }
  const note = (all: readonly EventOutcome[]) => told.push(all.map(({ event_id }) => event_id))
  await tryAll(ID_LIST, test, note, new AbortController().signal)
  t.strictSame(asked, [ID_LIST, ['c', 'd', 'e'], ['e']])
  t.strictSame(told, [['a', 'b'], ['a', 'b', 'c', 'd'], ID_LIST])
})

t.test('nothing is asked or told after it was stopped, has failed, or gets on no more', async (t) => {
  const stop = new AbortController()
  const told: number[] = []
  let asked = 0
  const stopped = async (ids: readonly string[]): Promise<EventOutcome[]> => {
    asked++
    if (asked === 2) stop.abort()
    return results(ids.slice(0, 1))
  }
  const note = (all: readonly EventOutcome[]) => told.push(all.length)
  await tryAll(ID_LIST, stopped, note, stop.signal)
  t.strictSame([asked, told], [2, [1]])

  const { signal } = new AbortController()
  await t.rejects(
    tryAll(ID_LIST, async () => Promise.reject(new Error('no')), note, signal),
    /no/,
  )
  await tryAll(ID_LIST, async () => Promise.resolve([]), note, signal)
  t.strictSame(told, [1])
})
