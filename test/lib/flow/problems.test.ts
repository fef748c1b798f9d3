import t from 'tap'
import { compileFlow, describeFlowProblems, FLOW_PROBLEMS } from '../../../src/lib/flow/index.ts'
import { catalogue } from './catalogue.ts'

type Definition = Record<string, unknown>

const act = (id: string, rest: Definition = {}): Definition => ({
  id,
  type: 'action',
  action_type: 'anything',
  ...rest,
})
const flow = (steps: unknown[], rest: Definition = {}): Definition => ({
  trigger: { type: 'manual' },
  steps,
  ...rest,
})
/** A flow whose trigger declares what it gives. */
const declared = (steps: unknown[]): Definition =>
  flow(steps, { trigger: { type: 'event', event_types: ['customer.updated'] } })
const reads = (path: string): Definition => act('a', { input: { x: `{{${path}}}` } })
const tests = (condition: Definition): Definition[] => [{ id: 'c', type: 'condition', condition }, act('a')]
const on = (trigger: Definition): Definition => ({ trigger, steps: [act('a')] })
const delay = (rest: Definition): Definition => flow([{ id: 'd', type: 'delay', ...rest }, act('a')])
const wait = (rest: Definition): Definition =>
  flow([{ id: 'w', type: 'wait_event', event: 'order.paid', on_received: 'a', ...rest }, act('a')])
const mail = (input: Definition): Definition => ({
  id: 'm',
  type: 'action',
  action_type: 'send_email',
  input: { to: 'a@example.com', subject: 'Hi', ...input },
})
const http = (rest: Definition): Definition =>
  flow([{ id: 'h', type: 'http', url: 'https://example.com', ...rest }])

/** Each with its one problem: code, pointer and a part of the message. */
const CASES: readonly (readonly [
  name: string,
  definition: unknown,
  code: string,
  pointer: string,
  message: RegExp,
])[] = [
  ['no object', 5, 'malformed', '', /object/],
  ['steps that are no list', { trigger: { type: 'manual' }, steps: {} }, 'malformed', '/steps', /list/],
  [
    'a flow_definition that is none',
    { trigger_event: 'customer.created', flow_definition: 1 },
    'malformed',
    '/flow_definition',
    /steps/,
  ],
  [
    'too deep',
    flow([act('a', { input: JSON.parse('['.repeat(70) + ']'.repeat(70)) as unknown })]),
    'too_large',
    '',
    /Nest/,
  ],
  [
    'a property without meaning',
    flow([act('a', { timout: 5 })]),
    'unknown_property',
    '/steps/0/timout',
    /timout/,
  ],
  ['no trigger', { steps: [act('a')] }, 'no_trigger', '', /event_types/],
  ['no steps', flow([]), 'no_steps', '/steps', /Add a step/],
  [
    'too many steps',
    flow(Array.from({ length: 501 }, (_, index) => act(`a${index}`))),
    'too_many_steps',
    '/steps',
    /500/,
  ],
  ['no id', flow([{ type: 'stop' }, act('a')]), 'invalid_id', '/steps/0', /lower-case/],
  ['the reserved id', flow([act('end'), act('a')]), 'invalid_id', '/steps/0/id', /not "end"/],
  ['a taken id', flow([act('a'), act('a')]), 'duplicate_id', '/steps/1/id', /taken/],
  [
    'a handler with a step’s id',
    flow([act('a')], { error_handlers: [act('a')] }),
    'duplicate_id',
    '/error_handlers/0/id',
    /share/,
  ],
  [
    'an unknown type',
    flow([{ id: 'd', type: 'dealy' }, act('a')]),
    'unknown_step_type',
    '/steps/0/type',
    /mean "delay"/,
  ],
  [
    'an unknown port',
    flow([act('a', { on_sucess: 'end' })]),
    'unknown_port',
    '/steps/0/on_sucess',
    /on_success/,
  ],
  ['next on an action', flow([act('a', { next: 'end' })]), 'unknown_port', '/steps/0/next', /on_success/],
  [
    'an unknown target',
    flow([act('one', { on_success: 'tow' }), act('two')]),
    'unknown_target',
    '/steps/0/on_success',
    /mean "two"/,
  ],
  ['an unknown start', flow([act('a')], { start: 'b' }), 'unknown_target', '/start', /start/],
  ['a missing property', flow([{ id: 'a', type: 'action' }]), 'missing_property', '/steps/0', /action_type/],
  [
    'a value out of range',
    flow([act('a', { retry: { max_retries: 99 } })]),
    'invalid_value',
    '/steps/0/retry/max_retries',
    /0 to 20/,
  ],
  [
    'a step nothing leads to',
    flow([act('a', { on_success: 'end' }), act('b')]),
    'unreachable_step',
    '/steps/1',
    /port/,
  ],
  ['a flow that does nothing', flow([{ id: 'x', type: 'stop' }]), 'no_action', '/steps', /action/],
  [
    'a cycle',
    flow([act('a'), act('b', { on_error: 'a', on_success: 'end' })]),
    'cycle',
    '/steps/1/on_error',
    /a → b → a/,
  ],
  [
    'a step that leads to itself',
    flow([act('a', { on_success: 'a' })]),
    'cycle',
    '/steps/0/on_success',
    /a → a/,
  ],
  [
    'a loop in a loop',
    flow([
      {
        id: 'f',
        type: 'for_each',
        list: 'trigger.a',
        body: [{ id: 'g', type: 'for_each', list: 'trigger.b', body: 'x' }, act('x')],
      },
    ]),
    'loop_nested',
    '/steps/0/body/0',
    /body of another/,
  ],
  [
    'a body that is entered from outside',
    flow([
      act('a', { on_error: 'x' }),
      { id: 'f', type: 'for_each', list: 'trigger.a', body: 'x' },
      act('x'),
    ]),
    'loop_entered',
    '/steps/2',
    /"a" leads there by "error"/,
  ],

  [
    'an unknown type of trigger',
    on({ type: 'event_trigger' }),
    'unknown_trigger_type',
    '/trigger/type',
    /schedule/,
  ],
  [
    'a name that is no event type',
    on({ type: 'event', event_types: ['Customer Created'] }),
    'invalid_event_type',
    '/trigger/event_types/0',
    /lower case/,
  ],
  ['no event types', on({ type: 'event' }), 'invalid_event_type', '/trigger', /1 to 50/],
  [
    'an unknown event type',
    on({ type: 'event', event_types: ['customer.create'] }),
    'unknown_event_type',
    '/trigger/event_types/0',
    /mean "customer.created"/,
  ],
  ['a bad cron', on({ type: 'schedule', cron: '61 * * * *' }), 'invalid_cron', '/trigger/cron', /minute/],
  [
    'a cron that never comes due',
    on({ type: 'schedule', cron: '0 0 30 2 *' }),
    'invalid_cron',
    '/trigger/cron',
    /never/,
  ],
  [
    'a cron with seconds',
    on({ type: 'schedule', cron: '*/5 * * * * *' }),
    'schedule_too_frequent',
    '/trigger/cron',
    /once a minute/,
  ],
  [
    'a bad zone',
    on({ type: 'schedule', cron: '@daily', timezone: 'Lisbon' }),
    'invalid_timezone',
    '/trigger/timezone',
    /IANA/,
  ],
  [
    'an unsafe schema',
    on({ type: 'manual', input_schema: { type: 'string', pattern: '(a+)+' } }),
    'invalid_schema',
    '/trigger/input_schema/pattern',
    /./,
  ],
  [
    'an action that starts its own flow',
    declared([act('a', { action_type: 'update_customer' })]),
    'self_trigger',
    '/steps/0',
    /customer.updated/,
  ],

  [
    'an unknown plugin',
    flow([act('a', { plugin_id: 'nope' })]),
    'unknown_plugin',
    '/steps/0/plugin_id',
    /no such plugin/,
  ],
  [
    'a plugin that is not active',
    flow([act('a', { plugin_id: 'sleeping' })]),
    'plugin_inactive',
    '/steps/0/plugin_id',
    /Activate/,
  ],
  [
    'an unknown action',
    flow([act('a', { action_type: 'anythin' })]),
    'unknown_action',
    '/steps/0/action_type',
    /anything/,
  ],
  [
    'a missing field',
    flow([{ id: 'm', type: 'action', action_type: 'send_email', config: { to: 'x' } }]),
    'missing_field',
    '/steps/0/config',
    /subject/,
  ],
  ['an unknown field', flow([mail({ sujet: 'x' })]), 'unknown_field', '/steps/0/input/sujet', /subject/],
  ['a wrong type', flow([mail({ priority: 'high' })]), 'wrong_type', '/steps/0/input/priority', /integer/],
  [
    'a wrong type in a list',
    flow([mail({ tags: ['a', 5] })]),
    'wrong_type',
    '/steps/0/input/tags/1',
    /string/,
  ],
  [
    'a host from a template',
    http({ url: 'https://{{trigger.host}}/x' }),
    'invalid_url',
    '/steps/0/url',
    /host/,
  ],
  [
    'a host that a template goes on with',
    http({ url: 'https://example.com{{trigger.host}}' }),
    'invalid_url',
    '/steps/0/url',
    /host/,
  ],
  [
    'credentials in a URL',
    http({ url: 'https://a:b@example.com/' }),
    'invalid_url',
    '/steps/0/url',
    /header/,
  ],
  [
    'a header that frames the request',
    http({ headers: { 'Content-Length': '5' } }),
    'invalid_header',
    '/steps/0/headers/Content-Length',
    /not a header/,
  ],

  [
    'a broken template',
    flow([reads('trigger.a')].map((step) => ({ ...step, input: { x: '{{trigger.a' } }))),
    'template_syntax',
    '/steps/0/input/x',
    /Close/,
  ],
  [
    'an unknown root',
    flow([reads('customer.name')]),
    'unknown_root',
    '/steps/0/input/x',
    /trigger\.customer\.name/,
  ],
  [
    'an unknown filter',
    flow([reads('trigger.a | uppercase')]),
    'unknown_filter',
    '/steps/0/input/x',
    /upcase/,
  ],
  [
    'a bad argument',
    flow([reads('trigger.a | truncate: "x"')]),
    'invalid_filter_argument',
    '/steps/0/input/x',
    /whole number/,
  ],
  [
    'a filter on the wrong type',
    declared([reads('trigger.tags | upcase')]),
    'invalid_filter_input',
    '/steps/0/input/x',
    /array/,
  ],
  [
    'an unknown step',
    flow([act('one'), act('two', { input: { x: '{{steps.on.output}}' } })]),
    'unknown_step',
    '/steps/1/input/x',
    /mean "one"/,
  ],
  ['its own result', flow([reads('steps.a.output.x')]), 'step_not_before', '/steps/0/input/x', /own/],
  [
    'a step that is on one branch only',
    flow([
      { id: 'c', type: 'condition', field: 'a', operator: 'exists', on_false: 'z' },
      act('y'),
      act('z', { input: { x: '{{steps.y.output.id}}' } }),
    ]),
    'step_not_before',
    '/steps/2/input/x',
    /every path/,
  ],
  [
    'a step that failed',
    flow([
      act('y', { on_error: 'z', on_success: 'end' }),
      act('z', { input: { x: '{{steps.y.output.id}}' } }),
    ]),
    'step_not_before',
    '/steps/1/input/x',
    /succeeded/,
  ],
  [
    'a result from inside of a loop',
    flow([
      { id: 'f', type: 'for_each', list: 'trigger.items', body: [act('b')] },
      act('z', { input: { x: '{{steps.b.output}}' } }),
    ]),
    'step_not_before',
    '/steps/1/input/x',
    /steps\.f\.output/,
  ],
  [
    'a handler that counts on a step',
    flow([act('y')], { error_handlers: [act('z', { input: { x: '{{steps.y.output.id}}' } })] }),
    'step_not_before',
    '/error_handlers/0/input/x',
    /every path/,
  ],
  [
    'an unknown variable',
    flow([reads('variables.nam')], { variables: { name: 1 } }),
    'unknown_variable',
    '/steps/0/input/x',
    /mean "name"/,
  ],
  [
    'a variable that is set on one branch only',
    flow([
      { id: 'c', type: 'condition', field: 'a', operator: 'exists', on_false: 'z' },
      { id: 's', type: 'set', variables: { v: 1 } },
      act('z', { input: { x: '{{variables.v}}' } }),
    ]),
    'variable_not_set',
    '/steps/2/input/x',
    /every path/,
  ],
  [
    'item outside of a loop',
    flow([reads('item.sku')]),
    'item_outside_loop',
    '/steps/0/input/x',
    /trigger\.item/,
  ],
  [
    'steps in what decides whether to start',
    flow([act('a')], { settings: { enrolment: { key: '{{steps.a.output}}' } } }),
    'unknown_root',
    '/settings/enrolment/key',
    /not there yet/,
  ],
  [
    'a path that is not declared',
    declared([reads('trigger.emial')]),
    'unknown_path',
    '/steps/0/input/x',
    /mean "email"/,
  ],
  [
    'a path below text',
    declared([reads('trigger.name.first')]),
    'unknown_path',
    '/steps/0/input/x',
    /not declared/,
  ],
  [
    'a path in a closed schema',
    declared([reads('trigger.address.town')]),
    'unknown_path',
    '/steps/0/input/x',
    /city/,
  ],
  [
    'a path in an action’s result',
    flow([
      act('f', { action_type: 'find_customer' }),
      act('z', { input: { x: '{{steps.f.output.email}}' } }),
    ]),
    'unknown_path',
    '/steps/1/input/x',
    /id, score/,
  ],
  [
    'an unknown member of the execution',
    flow([reads('execution.name')]),
    'unknown_path',
    '/steps/0/input/x',
    /flow_name/,
  ],
  [
    'a wrong type at the destination',
    declared([mail({ priority: '{{trigger.name}}' })]),
    'wrong_type',
    '/steps/0/input/priority',
    /trigger.name.* is string/,
  ],
  [
    'text where a list goes',
    flow([mail({ tags: 'a {{trigger.b}}' })]),
    'wrong_type',
    '/steps/0/input/tags',
    /array/,
  ],
  [
    'a list to loop over that is none',
    declared([{ id: 'f', type: 'for_each', list: 'trigger.name', body: [act('b')] }]),
    'wrong_type',
    '/steps/0/list',
    /list/,
  ],

  [
    'an operator that does not fit',
    declared(tests({ field: 'name', operator: 'gt', value: 5 })),
    'operator_does_not_fit',
    '/steps/0/condition/operator',
    /declared as string/,
  ],
  [
    'a missing operand',
    flow(tests({ field: 'a', operator: 'equals' })),
    'missing_operand',
    '/steps/0/condition',
    /value/,
  ],
  [
    'an extra operand',
    flow(tests({ field: 'a', operator: 'exists', value: 1 })),
    'extra_operand',
    '/steps/0/condition/value',
    /Remove/,
  ],
  [
    'an operand that does not fit',
    flow(tests({ field: 'a', operator: 'gt', value: '5' })),
    'invalid_operand',
    '/steps/0/condition/value',
    /a number/,
  ],
  [
    'an unknown operator',
    flow(tests({ field: 'a', operator: 'is' })),
    'unknown_operator',
    '/steps/0/condition/operator',
    /equals/,
  ],
  [
    'an unsafe pattern',
    flow(tests({ field: 'a', operator: 'matches', value: '(a)\\1' })),
    'unsafe_pattern',
    '/steps/0/condition/value',
    /RE2/,
  ],
  [
    'a field that is no path',
    flow(tests({ field: 'a..b', operator: 'exists' })),
    'invalid_path',
    '/steps/0/condition/field',
    /path/,
  ],
  ['an empty group', flow(tests({ all: [] })), 'condition_empty', '/steps/0/condition/all', /Put/],
  [
    'a condition that is none',
    flow([{ id: 'c', type: 'condition', condition: 5 }, act('a')]),
    'condition_malformed',
    '/steps/0/condition',
    /Write/,
  ],
  [
    'too deep groups',
    flow(
      tests({
        all: [{ all: [{ all: [{ all: [{ all: [{ all: [{ field: 'a', operator: 'exists' }] }] }] }] }] }],
      }),
    ),
    'condition_too_deep',
    '/steps/0/condition/all/0/all/0/all/0/all/0/all/0/all',
    /5/,
  ],
  [
    'too many tests',
    flow(
      tests({ any: Array.from({ length: 101 }, (_, index) => ({ field: `a${index}`, operator: 'exists' })) }),
    ),
    'condition_too_large',
    '/steps/0/condition/any/100',
    /100/,
  ],
  [
    'always false',
    flow(
      tests({
        all: [
          { field: 'a', operator: 'gt', value: 5 },
          { field: 'a', operator: 'lt', value: 3 },
        ],
      }),
    ),
    'always_false',
    '/steps/0/condition/all/1',
    /at once/,
  ],
  [
    'always true',
    flow(
      tests({
        any: [
          { field: 'a', operator: 'exists' },
          { field: 'a', operator: 'not_exists' },
        ],
      }),
    ),
    'always_true',
    '/steps/0/condition/any/1',
    /either/,
  ],
  [
    'never equal to a value that the schema rules out',
    declared(tests({ field: 'status', operator: 'equals', value: 'paid' })),
    'always_false',
    '/steps/0/condition/value',
    /new, active/,
  ],
  [
    'never equal to another type',
    declared(tests({ field: 'total', operator: 'equals', value: '10' })),
    'always_false',
    '/steps/0/condition/value',
    /declared as number/,
  ],
  [
    'a case that an earlier one takes',
    flow([
      {
        id: 's',
        type: 'switch',
        cases: [
          { name: 'a', field: 'x', operator: 'exists' },
          { name: 'b', field: 'x', operator: 'exists' },
        ],
        on_a: 'a',
      },
      act('a'),
    ]),
    'always_false',
    '/steps/0/cases/1',
    /earlier/,
  ],

  [
    'text that is no duration',
    delay({ duration: '3 months' }),
    'invalid_duration',
    '/steps/0/duration',
    /vary/,
  ],
  [
    'a duration of nothing',
    delay({ duration: '0 days' }),
    'duration_not_positive',
    '/steps/0/duration',
    /more than 0/,
  ],
  [
    'a negative duration',
    delay({ duration: '-1 day' }),
    'duration_not_positive',
    '/steps/0/duration',
    /more than 0/,
  ],
  [
    'a duration over a year',
    delay({ duration: '367 days' }),
    'duration_too_long',
    '/steps/0/duration',
    /366/,
  ],
  ['text that is no time', delay({ until: 'tomorrow' }), 'invalid_time', '/steps/0/until', /starts_at/],
  [
    'a wait without timeout',
    wait({ match: 'trigger.order_id' }),
    'wait_without_timeout',
    '/steps/0',
    /7 days/,
  ],
  ['a wait for anything', wait({ timeout: '1 day' }), 'wait_without_match', '/steps/0', /match/],

  [
    'an unknown handler',
    flow([act('a', { on_error: 'lgo' })], { error_handlers: [act('log')] }),
    'unknown_handler',
    '/steps/0/on_error',
    /mean "log"/,
  ],
  [
    'an unused handler',
    flow([act('a')], { error_handlers: [act('x', { on_success: 'end' }), act('y')] }),
    'unused_handler',
    '/error_handlers/1',
    /on_error/,
  ],
  [
    'handlers in a circle',
    flow([act('a')], { error_handlers: [act('x'), act('y', { on_success: 'x' })] }),
    'handler_cycle',
    '/error_handlers/1/on_success',
    /x → y → x/,
  ],
  [
    'a handler that leads back',
    flow([act('a'), act('b')], { error_handlers: [act('x', { on_success: 'b' })] }),
    'handler_target',
    '/error_handlers/0/on_success',
    /"steps"/,
  ],
  [
    'a handler that loops',
    flow([act('a')], { error_handlers: [{ id: 'f', type: 'for_each', list: ['x'], body: 'y' }, act('y')] }),
    'handler_type',
    '/error_handlers/0/type',
    /loop/,
  ],
  [
    'a rule without a key',
    flow([act('a')], { settings: { enrolment: { while_active: 'restart' } } }),
    'enrolment_without_key',
    '/settings/enrolment/while_active',
    /key/,
  ],
]

t.test('every mistake is found, at its place, with the fix', (t) => {
  for (const [name, definition, code, pointer, message] of CASES) {
    const { flow, problems } = compileFlow(definition, catalogue)
    const found = problems.find((problem) => problem.code === code && problem.pointer === pointer)
    t.ok(found, `${name}: ${JSON.stringify(problems)}`)
    if (!found) continue
    t.match(found.message, message, name)
    const hasErrors = problems.some(({ severity }) => severity === 'error')
    t.equal(flow === null, hasErrors, `${name}: only errors keep a flow from being compiled`)
    t.equal(problems.length, 1, `${name}: one mistake is one problem: ${JSON.stringify(problems)}`)
  }
  t.end()
})

t.test('codes are documented, and found', (t) => {
  const seen = new Set(CASES.map(([, , code]) => code))
  const described = describeFlowProblems()
  for (const { code, title } of described) t.match(title, /^[A-Z"]/, code)
  const rest = Object.keys(FLOW_PROBLEMS).filter((code) => !seen.has(code))
  t.same(rest, ['too_many_problems', 'ambiguous_action', 'template_too_large', 'operator_unavailable'])
  t.end()
})

t.test('what looks like a mistake and is none is left alone', (t) => {
  const fine: unknown[] = [
    flow([
      { id: 'c', type: 'condition', field: 'a', operator: 'exists', on_false: 'z' },
      act('y'),
      act('z', { input: { x: '{{steps.y.output.id | default: "none"}}' } }),
    ]),
    flow([
      { id: 'c', type: 'condition', field: 'a', operator: 'exists', on_false: 't' },
      { id: 's', type: 'set', variables: { v: 1 }, next: 'z' },
      { id: 't', type: 'set', variables: { v: 2 } },
      act('z', { input: { x: '{{variables.v}}' } }),
    ]),
    flow([
      act('y', { on_error: 'c' }),
      { id: 'c', type: 'condition', field: 'steps.y.output.id', operator: 'exists' },
      act('z'),
    ]),
    flow([
      {
        id: 'f',
        type: 'for_each',
        list: 'trigger.items',
        body: [act('b', { input: { x: '{{item.sku}}' } })],
      },
    ]),
    declared(tests({ field: 'total', operator: 'equals', value: 10 })),
    declared(
      tests({
        all: [
          { field: 'total', operator: 'gte', value: 5 },
          { field: 'total', operator: 'lte', value: 5 },
        ],
      }),
    ),
    declared(
      tests({ field: 'tags', operator: 'any', value: { field: 'item', operator: 'equals', value: 'vip' } }),
    ),
    declared([mail({ priority: '{{trigger.total | round}}', tags: '{{trigger.tags}}' })]),
    declared([mail({ to: '{{trigger.emial | default: "x@example.com"}}' })]),
    flow([act('a', { on_error: 'h' })], {
      error_handlers: [act('h', { input: { e: '{{execution.error.message}}' } })],
    }),
  ]
  for (const definition of fine)
    t.same(compileFlow(definition, catalogue).problems, [], JSON.stringify(definition))
  t.end()
})

t.test('a definition with very many problems is told the first of them', (t) => {
  const steps = Array.from({ length: 400 }, (_, index) => ({ id: `S${index}`, type: 'nothing' }))
  const { problems } = compileFlow(flow(steps), catalogue)
  t.equal(problems.length, 200)
  t.equal(problems.at(-1)?.code, 'too_many_problems')
  t.end()
})
