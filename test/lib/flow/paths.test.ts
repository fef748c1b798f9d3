import t from 'tap'
import { compileFlow } from '#lib/flow/index.ts'
import { catalogue } from './support.ts'
import { act, flow } from './problem-cases/definitions.ts'

const codesOf = (definition: unknown): string[] =>
  compileFlow(definition, catalogue)
    .problems.filter(({ severity }) => severity === 'error')
    .map(({ code, pointer }) => `${code} ${pointer}`)

const isBig = { id: 'c', type: 'condition', field: 'a', operator: 'exists' }

t.test('what went wrong is read where the error port leads', async (t) => {
  const told = (rest: Record<string, unknown>, path: string): unknown =>
    flow([act('a', rest), act('done', { on_success: 'end' }), act('b', { input: { x: `{{${path}}}` } })])
  const path = 'steps.a.output.error.message'
  t.strictSame(codesOf(told({ on_error: 'b' }, path)), [])
  t.strictSame(codesOf(told({ on_error: 'b', on_success: 'b' }, path)), ['step_not_before /steps/2/input/x'])
  t.strictSame(codesOf(told({ on_error: 'b', on_success: 'b' }, `${path} | default: ""`)), [])
  t.strictSame(codesOf(told({ on_error: 'end', on_success: 'b' }, path)), [
    'step_not_before /steps/2/input/x',
  ])
  t.strictSame(
    codesOf(flow([act('a'), act('b', { input: { x: `{{${path}}}` } })])),
    ['step_not_before /steps/1/input/x'],
    'without an error port its errors go to the handlers',
  )
})

t.test('after two branches that meet, default takes what one of them gave', async (t) => {
  const diamond = (value: string, rest: Record<string, unknown> = {}): unknown =>
    flow([
      { ...isBig, on_true: 'a', on_false: 'b' },
      act('a', { on_success: 'c2' }),
      act('b', { on_success: 'c2', ...rest }),
      act('c2', { input: { x: `{{${value}}}` } }),
    ])
  const either = 'steps.a.output.id | default: steps.b.output.id'
  t.strictSame(codesOf(diamond(either)), [])
  t.strictSame(codesOf(diamond('steps.a.output.id')), ['step_not_before /steps/3/input/x'])
  t.strictSame(codesOf(diamond(either, { on_error: 'c2' })), ['step_not_before /steps/3/input/x'])
  t.strictSame(codesOf(diamond(`${either} | default: ""`, { on_error: 'c2' })), [])
  t.strictSame(codesOf(diamond('steps.a.output.id | default: steps.c2.output.id')), [
    'step_not_before /steps/3/input/x',
  ])
})

t.test('a flow whose steps cannot be reached does not go live', async (t) => {
  t.strictSame(codesOf(flow([{ id: 'x', type: 'stop' }, act('a'), act('b')])), ['no_action /steps'])
  t.strictSame(codesOf(flow([{ id: 'x', type: 'stop' }])), [], 'one that does nothing at all is a warning')
})

t.test('a schedule gives when it was to be, when it was, and how many were missed', async (t) => {
  const { problems } = compileFlow(
    {
      trigger: { type: 'schedule', cron: '0 9 * * *' },
      steps: [act('a', { input: { x: '{{trigger.missed}} {{trigger.fired_at}} {{trigger.scheduled_at}}' } })],
    },
    catalogue,
  )
  t.strictSame(problems, [])
})

t.test('cancel_on may look back', async (t) => {
  const cancel_on = { event: 'order.paid', match: 'trigger.order_id', look_back: '10 minutes' }
  const { flow: compiled } = compileFlow(
    flow([act('a')], { settings: { enrolment: { cancel_on } } }),
    catalogue,
  )
  t.equal(compiled?.settings.enrolment.cancel_on[0]?.look_back_ms, 600_000)
})

t.test('reenter_after may be never', async (t) => {
  const of = (reenter_after: unknown) =>
    compileFlow(
      flow([act('a')], { settings: { enrolment: { key: '{{trigger.id}}', reenter_after } } }),
      catalogue,
    )
  t.match(of('never').flow?.settings.enrolment, { reenter_never: true, reenter_after_ms: 366 * 86_400_000 })
  t.equal(of('2 days').flow?.settings.enrolment.reenter_never, undefined)
  t.match(of('ever').problems, [{ code: 'invalid_duration' }])
  t.match(
    compileFlow(flow([act('a')], { settings: { enrolment: { reenter_after: 'never' } } }), catalogue)
      .problems,
    [{ code: 'enrolment_without_key' }],
  )
})

t.test('collect reads the item and what its steps give, and nothing that is not there', async (t) => {
  const loop = (rest: Record<string, unknown>): unknown =>
    flow([{ id: 'l', type: 'for_each', list: 'trigger.items', body: [act('a')], ...rest }, act('z')])
  t.strictSame(codesOf(loop({ collect: 'item.id' })), [])
  t.strictSame(codesOf(loop({ collect: { id: '{{item.id}}', made: '{{steps.a.output.id}}' } })), [])
  t.strictSame(codesOf(loop({ collect: '{{steps.z.output.id}}' })), ['step_not_before /steps/0/collect'])
  t.strictSame(codesOf(loop({ collect: '{{steps.b.output}}' })), ['unknown_step /steps/0/collect'])
  t.strictSame(codesOf(loop({ item_errors: 'maybe' })), ['invalid_value /steps/0/item_errors'])
  const { flow: compiled } = compileFlow(loop({ collect: 'item.id', item_errors: 'continue' }), catalogue)
  t.match(compiled?.steps['l']?.config, { collect: '{{item.id}}', continues: true })
  t.strictSame(codesOf(flow([act('a', { input: { x: '{{item.id}}' } })])), [
    'item_outside_loop /steps/0/input/x',
  ])
})
