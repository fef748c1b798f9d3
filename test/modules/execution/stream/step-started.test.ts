import t, { type Test } from 'tap'
import type { ClaimedExecution } from '#modules/flow-engine/run/execution-repository.ts'
import { enterLoop, initialState, suspend } from '#modules/flow-engine/run/state.ts'
import { readStepStart, StepWatch } from '#modules/flow-engine/run/step-watch.ts'
import { appOn, listen } from '#test/infra/app-on.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { follow, type SseClient, until } from '#test/support/sse-client.ts'

const world = await startApp(t, { env: { ROLES: 'api,worker' } })
const { app, databaseUrl } = world
const tenant = (): Tenant => world.tenant()
await listen(app)

interface Held {
  url: string
  /** Waits until so many calls have come, all of which are held. */
  waitFor: (count: number) => Promise<unknown>
  /** Answers the next call. */
  answer: () => void
}

async function holdCalls(t: Test): Promise<Held> {
  const receiver = await startReceiver(t)
  const held: (() => void)[] = []
  receiver.answer((_, response) => held.push(() => response.writeHead(204).end()))
  t.teardown(() => held.forEach((release) => release()))
  return {
    url: receiver.url,
    waitFor: async (count) => receiver.waitFor(count),
    answer: () => held.shift()?.(),
  }
}

async function run(shop: Tenant, steps: object[], input: object = {}): Promise<string> {
  const flow = await shop.post('/api/automation/flows', {
    name: 'Calls',
    status: 'active',
    trigger: { type: 'manual' },
    steps,
  })
  t.equal(flow.statusCode, 201, flow.body)
  const started = await shop.post(`/api/automation/flows/${flow.json<{ id: string }>().id}/run`, { input })
  return started.json<{ execution_id: string }>().execution_id
}

const pathOf = (id: string): string => `/api/automation/executions/${id}/stream`

type Started = { step_id: string; iteration: string; since: string; attempt: number }

function startedIn({ events }: SseClient): Started[] {
  return events.filter(({ event }) => event === 'step_started').map(({ data }) => data as unknown as Started)
}

async function startOf(client: SseClient, step: string, iteration = ''): Promise<Started> {
  const find = (): Started | undefined =>
    startedIn(client).find((start) => start.step_id === step && start.iteration === iteration)
  await until(() => find() !== undefined, `${step} ${iteration} has begun`)
  return find() as Started
}

t.test('a stream tells which step is under way and since when, in whatever process', async (t) => {
  const shop = tenant()
  const calls = await holdCalls(t)
  const id = await run(shop, [
    { id: 'one', type: 'http', url: `${calls.url}/one` },
    { id: 'two', type: 'http', url: `${calls.url}/two` },
  ])
  await calls.waitFor(1)
  const client = await follow(t, app, { tenantId: shop.id, path: pathOf(id) })
  const one = await startOf(client, 'one')
  t.match(one, { iteration: '', attempt: 1 })
  t.equal(client.events.find(({ event }) => event === 'step_started')?.id, '', 'it is nothing to go on from')
  const first = client.events.findIndex(({ event }) => event === 'status')
  t.ok(first < client.events.findIndex(({ event }) => event === 'step_started'), 'the status comes first')

  const beside = await appOn(t, databaseUrl)
  await listen(beside)
  const other = await follow(t, beside, { tenantId: shop.id, path: pathOf(id) })
  t.same(await startOf(other, 'one'), one, 'who comes later, to another process, is told as well')

  calls.answer()
  await calls.waitFor(2)
  const two = await startOf(client, 'two')
  t.same(await startOf(other, 'two'), two)
  await until(() => client.events.some(({ event }) => event === 'step'), 'the first is done')
  const done = client.events.find(({ event }) => event === 'step')?.data
  t.equal(done?.['started_at'], one.since, 'by which it is known that it is over')
  calls.answer()
  await until(() => client.isClosed(), 'it has ended')
  t.match(client.events.at(-1), { event: 'end', data: { status: 'completed' } })
})

t.test('in a loop each item that is under way is told', async (t) => {
  const shop = tenant()
  const calls = await holdCalls(t)
  const id = await run(
    shop,
    [
      {
        id: 'each',
        type: 'for_each',
        list: '{{trigger.items}}',
        concurrency: 2,
        body: [{ id: 'call', type: 'http', url: `${calls.url}/item` }],
      },
    ],
    { items: [1, 2, 3] },
  )
  const client = await follow(t, app, { tenantId: shop.id, path: pathOf(id) })
  await calls.waitFor(2)
  await startOf(client, 'call', '0')
  await startOf(client, 'call', '1')
  t.notOk(
    startedIn(client).some(({ step_id }) => step_id === 'each'),
    'a loop is where its items are',
  )
  calls.answer()
  await calls.waitFor(3)
  await startOf(client, 'call', '2')
  calls.answer()
  calls.answer()
  await until(() => client.isClosed(), 'it has ended')
})

t.test('another tenant hears nothing of it', async (t) => {
  const shop = tenant()
  const calls = await holdCalls(t)
  const id = await run(shop, [{ id: 'one', type: 'http', url: `${calls.url}/one` }])
  await calls.waitFor(1)
  t.equal((await tenant().get(pathOf(id))).statusCode, 404)
})

/** Executions in hand, each at its first step. */
function inHand(count: number): ClaimedExecution[] {
  return Array.from({ length: count }, (_, index) => ({
    ...({} as ClaimedExecution),
    id: `run-${index}`,
    state: initialState('first', {}),
    started_at_ms: 1_000,
  }))
}

function watchOf(t: Test, held: Iterable<ClaimedExecution>): { watch: StepWatch; told: string[][] } {
  const told: string[][] = []
  const publish = (channel: string, names: Iterable<string>): void => {
    t.equal(channel, 'step_started')
    told.push([...names])
  }
  const watch = new StepWatch({ publish }, () => held)
  t.teardown(() => watch.stop())
  return { watch, told }
}

t.test('nothing is told of what nobody follows, nor twice of one step', async (t) => {
  const [mine, others] = inHand(2)
  const { watch, told } = watchOf(t, [mine, others] as ClaimedExecution[])
  watch.follow([])
  t.same(told, [])
  watch.follow(['run-0'])
  t.same(
    told.map((names) => names.map(readStepStart)),
    [[{ executionId: 'run-0', stepId: 'first', iteration: '', attempt: 1, sinceMs: 1_000 }]],
  )
  // It is looked at by the clock; a step that is begun meanwhile is the next to be told, and only that.
  const { main } = (mine as ClaimedExecution).state
  Object.assign(main, { step: 'second', since: 2_000, failures: 1 })
  await until(() => told.length > 1, 'the second step is told')
  t.match(told[1]?.map(readStepStart), [{ stepId: 'second', attempt: 2, sinceMs: 2_000 }])
  watch.follow(['run-0'])
  t.equal(told.length, 3, 'who comes later is told at once')
})

t.test('what waits is not under way', (t) => {
  const [claim] = inHand(1) as [ClaimedExecution]
  enterLoop(claim.state, ['a', 'b'], { body: 'call', places: 2 }, 3_000)
  const [first] = claim.state.loop?.threads ?? []
  if (first !== undefined) suspend(first, 'retry', 4_000)
  const { watch, told } = watchOf(t, [claim])
  watch.follow(['run-0'])
  t.match(told.flat().map(readStepStart), [{ stepId: 'call', iteration: '1', sinceMs: 3_000 }])
  t.end()
})

t.test('one look tells no more than fits into a signal, and the next goes on with the others', async (t) => {
  const held = inHand(100)
  const { watch, told } = watchOf(t, held)
  watch.follow(held.map(({ id }) => id))
  t.equal(told[0]?.length, 40)
  await until(() => told.flat().length >= 100, 'all are told')
  t.equal(new Set(told.flat()).size, 100)
  t.ok(told.every((names) => names.length <= 60))
  watch.stop()
  watch.stop()
  watch.follow(['run-1'])
  t.equal(told.flat().length, 100, 'nothing more is told')
})
