import t from 'tap'
import { compareFlows, isSameFlow, mergedGraph } from '#console/src/flow/compare.ts'
import { readGraph } from '#console/src/flow/graph.ts'

const task = (id: string, members: object = {}): object => ({
  id,
  type: 'action',
  action_type: 'create_task',
  ...members,
})
const flow = (steps: object[], rest: object = {}): object => ({
  name: 'Greet',
  trigger: { type: 'manual' },
  steps,
  ...rest,
})

t.test('what was added, removed, changed and led elsewhere is told, in the order of the flow', async (t) => {
  const older = flow([task('greet', { input: { title: 'Hi' } }), task('old'), task('last')])
  const newer = flow([
    task('greet', { input: { title: 'Hello' } }),
    task('last'),
    task('fresh', { name: 'Fresh' }),
  ])
  const { steps, triggers, settings } = compareFlows(older, newer)
  t.match(steps, [
    {
      id: 'greet',
      fate: 'changed',
      members: [{ path: 'input.title', before: 'Hi', after: 'Hello' }],
      ways: [{ port: 'success', before: 'old', after: 'last' }],
    },
    { id: 'old', fate: 'removed', name: 'old', members: [] },
    { id: 'last', fate: 'rewired', members: [], ways: [{ port: 'success', before: 'end', after: 'fresh' }] },
    { id: 'fresh', fate: 'added', name: 'Fresh' },
  ])
  t.equal(steps.length, 4)
  t.same([triggers, settings], [[], []])
})

t.test('the same flow in the other format, or laid out anew, is the same', async (t) => {
  const graph = flow([task('a'), task('b')])
  const linear = {
    name: 'Greet',
    trigger_event: 'order.paid',
    flow_definition: { steps: [task('a'), task('b')] },
  }
  const asGraph = {
    ...flow([task('a', { on_success: 'b' }), task('b')]),
    trigger: undefined,
    triggers: [{ type: 'event', event_types: ['order.paid'] }],
  }
  t.ok(isSameFlow(compareFlows(linear, asGraph)))
  const moved = compareFlows(graph, { ...graph, layout: { positions: { a: { x: 8, y: 16 } } } })
  t.ok(isSameFlow(moved))
  t.equal(moved.isLaidOutAnew, true)
  t.equal(isSameFlow(compareFlows(linear, graph)), false, 'another trigger')
})

t.test('triggers and settings are told member by member, and numbers by how they are written', async (t) => {
  const before = flow([task('a')], { settings: { lifetime_days: 1 }, variables: { limit: 1 } })
  const after = {
    ...flow([task('a')], { settings: { lifetime_days: 2 }, variables: { limit: 1 } }),
    trigger: undefined,
    triggers: [{ type: 'manual' }, { id: 'nightly', type: 'schedule', cron: '0 3 * * *' }],
  }
  const { triggers, settings, steps } = compareFlows(before, after)
  t.match(triggers, [{ id: 'nightly', fate: 'added', type: 'schedule' }])
  t.same(settings, [{ path: 'settings.lifetime_days', before: 1, after: 2 }])
  t.same(steps, [])
})

t.test('both flows in one have every step of either, whatever becomes of loops and handlers', async (t) => {
  const loop = flow([
    { id: 'each', type: 'for_each', list: '{{trigger.items}}', body: [task('inside')] },
    task('after'),
  ])
  const without = flow([task('inside'), task('after')], { error_handlers: [task('alarm')] })
  for (const [one, other] of [
    [loop, without],
    [without, loop],
    [loop, {}],
    [{}, without],
  ] as const) {
    const merged = mergedGraph(readGraph(one), readGraph(other))
    const ids = new Set([...readGraph(one).steps.keys(), ...readGraph(other).steps.keys()])
    t.same(new Set(merged.steps.keys()), ids)
    t.ok(merged.edges.every(({ from }) => ids.has(from)))
  }
})
