import t from 'tap'
import { ResultMemory } from '#modules/dispatcher/dispatch/result-memory.ts'
import type { ActionResult } from '#modules/dispatcher/types.ts'

const MILLION = 1_000_000

function result(dataChars: number): ActionResult {
  return {
    actionType: 'do',
    success: true,
    status: 'succeeded',
    data: {},
    dataChars,
    error: null,
    responseStatus: 200,
    durationMs: 1,
    attempts: 1,
    replayed: false,
    invocationId: null,
    transient: false,
    retryAfterMs: null,
  }
}

t.test('a shop that holds more than there is stops nobody but itself', (t) => {
  const memory = new ResultMemory(1)
  const greedy = memory.open('greedy')
  // Taken in at the same moment, before any of it was counted.
  for (let count = 0; count < 6; count++) greedy.hold(result(26 * MILLION))
  t.notOk(memory.hasRoom('greedy'))
  t.ok(memory.hasRoom('another'))
  const another = memory.open('another')
  another.hold(result(26 * MILLION))
  t.ok(memory.hasRoom('another'), 'a dispatch of the largest kind comes to its end')
  another.hold(result(MILLION))
  t.notOk(memory.hasRoom('another'))
  greedy.close()
  t.ok(memory.hasRoom('greedy'))
  another.close()
  another.close()
  t.ok(memory.hasRoom('another'))
  t.end()
})
