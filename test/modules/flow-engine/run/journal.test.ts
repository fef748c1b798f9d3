import t from 'tap'
import type { Boundary, BoundaryAnswer } from '#modules/flow-engine/run/boundary-repository.ts'
import type { ClaimedExecution } from '#modules/flow-engine/run/execution-repository.ts'
import { Journal } from '#modules/flow-engine/run/journal.ts'
import { initialState, moveTo } from '#modules/flow-engine/run/state.ts'

const LEASE_MS = 60_000
const DONE: BoundaryAnswer = {
  status: 'running',
  isLocked: false,
  isHalted: false,
  ended: null,
  outputBytes: 0,
}

t.test('until the first boundary is on its way, a call needs none', async (t) => {
  const { journal, sent } = hold()
  journal.touch()
  await journal.beforeCall()
  t.strictSame(sent, [])
  t.ok(journal.isFresh)
})

t.test('what a line does while the boundary of another is on its way has one of its own', async (t) => {
  const { journal, state, sent, answer } = hold()
  const first = journal.boundary()
  await until(() => sent.length === 1)
  t.notOk(journal.isFresh)
  moveTo(state.main, 'later', 1)
  journal.touch()
  const call = journal.beforeCall()
  answer()
  await first
  await until(() => sent.length === 2)
  t.match(JSON.parse(sent[1]?.state ?? ''), { main: { step: 'later' } })
  answer()
  await call
})

t.test('a line whose news is on its way with those of another waits for both', async (t) => {
  const { journal, sent, answer } = hold()
  journal.touch()
  const first = journal.boundary()
  await until(() => sent.length === 1)
  let mayCall = false
  const call = journal.beforeCall().then(() => (mayCall = true))
  await new Promise(setImmediate)
  t.notOk(mayCall)
  answer()
  await Promise.all([first, call])
  t.equal(sent.length, 1)
})

t.test('who was frozen while it took an execution asks whether it is still its own', async (t) => {
  const { journal, sent, answer } = hold(performance.now() - LEASE_MS)
  const call = journal.beforeCall()
  await until(() => sent.length === 1)
  t.equal(sent[0]?.leaseMs, LEASE_MS)
  answer({ status: null, isLocked: false, isHalted: false, ended: null, outputBytes: 0 })
  await t.rejects(call)
  t.match(journal.end, { ours: false })
})

function hold(takenAt = performance.now()) {
  const state = initialState('first', {})
  const sent: Boundary[] = []
  const waiting: ((answer: BoundaryAnswer) => void)[] = []
  const journal = new Journal({
    claim: { id: 'x', tenant_id: 't', state, step_count: 0 } as ClaimedExecution,
    commit: (boundary) => {
      sent.push(boundary)
      return new Promise((resolve) => waiting.push(resolve))
    },
    leaseMs: LEASE_MS,
    takenAt,
    clock: () => 0,
  })
  return { journal, state, sent, answer: (answer = DONE) => waiting.shift()?.(answer) }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate)
}
