import t from 'tap'
import { currentOf } from '#console/src/pages/run/timeline.ts'
import type { RunAttempt, RunDetail, RunStep } from '#console/src/pages/run/types.ts'

const failed = (number: number): RunAttempt => ({
  number,
  status: 'failed',
  error: { code: 'http_5xx', message: 'Busy' },
  ended_at: '2026-07-01T12:00:00.000Z',
  duration_ms: 5,
  next_at: '2026-07-01T12:10:00.000Z',
})

t.test('an item of a loop that waits to be tried again waits, until the next attempt begins', (t) => {
  const wait = { step_id: 'item', iteration: '0', reason: 'retry', until: null, events: [] }
  const run = {
    status: 'running',
    at: [],
    started_at: '2026-07-01T12:00:00.000Z',
    waiting_for: [{ ...wait, attempt_log: [failed(1)] }],
  } as unknown as RunDetail
  const statusAfter = (attempt: number): string[] => {
    const start = { step_id: 'item', iteration: '0', attempt, since: '2026-07-01T12:00:00.000Z' }
    const starts = new Map([['0', start as never]])
    return currentOf(run, { steps: [], starts }, null).map(({ status }) => status)
  }
  t.same(statusAfter(1), ['waiting'])
  t.same(statusAfter(2), ['running'])
  t.end()
})

t.test('an item of a loop that waits is there while other items run, whatever began in it before', (t) => {
  const until = '2026-07-01T13:00:00.000Z'
  const run = {
    status: 'running',
    at: [],
    started_at: '2026-07-01T12:00:00.000Z',
    waiting_for: [{ step_id: 'pause', iteration: '0', reason: 'delay', until, events: [], attempt_log: [] }],
  } as unknown as RunDetail
  const begun = (step_id: string, iteration: string) => ({
    step_id,
    iteration,
    attempt: 1,
    since: '2026-07-01T12:00:00.000Z',
  })
  const starts = new Map([
    ['0', begun('call', '0')],
    ['1', begun('call', '1')],
  ])
  const steps = [{ step_id: 'call', iteration: '0', status: 'succeeded' }] as unknown as RunStep[]
  t.match(currentOf(run, { steps, starts: starts }, null), [
    { iteration: '0', step_id: 'pause', status: 'waiting', until },
    { iteration: '1', step_id: 'call', status: 'running' },
  ])
  t.end()
})
