import t from 'tap'
import type { CanonicalFlow, CompileResult } from '#lib/flow/index.ts'
import { actionReferences, compileFlow, definitionFormat } from '#lib/flow/index.ts'
import { GRAPH, LINEAR } from '#test/support/flow-examples.ts'
import { catalogue } from './support.ts'

const RETRY = { max_retries: 3, patience_ms: 12 * 3_600_000, base_ms: 1000, cap_ms: 900_000 }

/** Compiles a definition that has not a single problem. */
function compiled(definition: unknown): CanonicalFlow {
  const { flow, problems } = compile(definition)
  if (!flow || problems.length > 0) throw new Error(JSON.stringify(problems))
  return flow
}

function compile(definition: unknown): CompileResult {
  return compileFlow(definition, catalogue)
}

/** The flow of steps behind a manual trigger. */
function flowOf(steps: unknown[], rest: Record<string, unknown> = {}): CanonicalFlow {
  const { flow, problems } = compile({ trigger: { type: 'manual' }, steps, ...rest })
  if (!flow) throw new Error(JSON.stringify(problems))
  return flow
}

const act = (id: string, rest: Record<string, unknown> = {}): Record<string, unknown> => ({
  id,
  type: 'action',
  action_type: 'anything',
  ...rest,
})

t.test('a flow whose inlet asks for more than its URL is of a form that older releases leave alone', (t) => {
  const formOf = (...triggers: object[]): number =>
    compiled({ triggers, steps: [act('first', { position: { x: 0, y: 0 } })] }).schema_version
  const plain = { type: 'webhook', filter: { field: 'trigger.kind', operator: 'exists' } }
  t.equal(formOf({ type: 'event', event_type: 'customer.created' }, plain), 1)
  const verify = { scheme: 'github', connection: 'inbound' }
  t.equal(formOf({ type: 'event', event_type: 'customer.created' }, { ...plain, verify }), 2)
  t.equal(formOf({ ...plain, headers: ['x-mine'] }), 2)
  t.equal(formOf({ ...plain, answer: { status: 200, body: 'ok' } }), 2)
  t.end()
})

t.test('the linear example compiles as printed', (t) => {
  t.equal(definitionFormat(LINEAR), 'linear')
  const flow = compiled(LINEAR)
  t.same(flow.triggers, [
    { id: 'trigger_1', type: 'event', event_types: ['customer.created'], filter: null, plugin_id: null },
  ])
  t.equal(flow.start, 'condition_1')
  t.same(flow.steps['condition_1'], {
    type: 'condition',
    name: null,
    config: { condition: { field: 'trigger.email', operator: 'exists' } },
    retry: null,
    timeout_ms: null,
    next: { true: 'action_1', false: 'end' },
    handler: false,
    loop: null,
  })
  t.same(flow.steps['action_1']?.config, {
    action_type: 'send_email',
    plugin_id: 'platform',
    input: LINEAR.flow_definition.steps[1]?.payload_template,
  })
  t.same(flow.steps['action_1']?.next, { success: 'action_2' })
  t.same(flow.steps['action_2']?.next, { success: 'end' })
  t.same(flow.steps['action_2']?.retry, RETRY)
  t.end()
})

t.test('the graph example compiles as printed', (t) => {
  t.equal(definitionFormat(GRAPH), 'graph')
  const flow = compiled(GRAPH)
  t.match(flow.triggers, [{ plugin_id: 'platform' }])
  t.same(flow.handlers, ['error_handler_1'])
  t.same(flow.steps['condition_1']?.next, { true: 'action_1', false: 'end' })
  t.match(flow.steps['action_1'], {
    config: { action_type: 'send_welcome_email', plugin_id: 'email-marketing-id' },
    next: { success: 'end', error: 'error_handler_1' },
    timeout_ms: 30000,
    retry: RETRY,
  })
  t.match(flow.steps['error_handler_1'], { handler: true, next: { success: 'end' } })
  t.same(flow.settings.enrolment, {
    key: null,
    while_active: 'allow',
    reenter_after_ms: null,
    cancel_on: [],
  })
  t.end()
})

t.test('ports that are left out lead where the format says', (t) => {
  const flow = flowOf([
    { id: 'c', type: 'condition', field: 'a', operator: 'exists' },
    {
      id: 's',
      type: 'switch',
      cases: [{ name: 'vip', field: 'tags', operator: 'contains', value: 'vip' }],
      on_default: 'w',
    },
    {
      id: 'w',
      type: 'wait_event',
      event: 'order.paid',
      match: 'trigger.order_id',
      timeout: '7 days',
      on_received: 'd',
    },
    { id: 'd', type: 'delay', duration: 'PT1H' },
    { id: 'v', type: 'set', variables: { a: 1 } },
    { id: 'h', type: 'http', url: 'https://example.com/x' },
    act('a'),
    { id: 'x', type: 'stop' },
  ])
  const next = Object.fromEntries(Object.entries(flow.steps).map(([id, step]) => [id, step.next]))
  t.same(next, {
    c: { true: 's', false: 'end' },
    s: { vip: 'end', default: 'w' },
    w: { received: 'd', timeout: 'end' },
    d: { next: 'v' },
    v: { next: 'h' },
    h: { success: 'a' },
    a: { success: 'x' },
    x: {},
  })
  t.end()
})

t.test('a false "business_days" is as if it were left out', (t) => {
  const delayOf = (rest: object) => flowOf([{ id: 'd', type: 'delay', ...rest }, act('a')]).steps['d']?.config
  for (const rest of [
    { duration: '1 day' },
    { at: '09:00' },
    { weekdays: ['MON'] },
    { until: '{{trigger.starts_at}}' },
  ])
    t.same(delayOf({ ...rest, business_days: false }), delayOf(rest), JSON.stringify(rest))
  t.end()
})

t.test('every type of step has its config written out', (t) => {
  const flow = flowOf(
    [
      { id: 'd', type: 'delay', until: 'trigger.starts_at', offset: '-24 hours', if_past: 'skip' },
      { id: 'e', type: 'delay', duration: '{{variables.wait}}' },
      {
        id: 'w',
        type: 'wait_event',
        any: [
          { event: 'order.paid', match: 'trigger.order_id' },
          {
            event: 'lead.replied',
            match: { 'lead.id': '{{trigger.lead}}' },
            filter: { field: 'ok', operator: 'is_true' },
          },
        ],
        timeout: '7 days',
        look_back: '5 min',
        on_received: 'f',
        on_timeout: 'f',
      },
      {
        id: 'f',
        type: 'for_each',
        list: 'items',
        body: [act('b', { input: { sku: '{{item.sku}}' } })],
        max_items: 5,
      },
      {
        id: 'h',
        type: 'http',
        url: 'https://example.com/{{trigger.id}}',
        body: { a: 1 },
        timeout: 500,
        retry: { max_retries: 0 },
      },
      { id: 'x', type: 'stop', outcome: 'done', reason: 'as {{trigger.why}}' },
    ].map((step) => (step.id === 'f' ? { ...step, list: 'trigger.items' } : step)),
    { variables: { wait: '3 days' } },
  )
  t.same(flow.steps['d']?.config, {
    kind: 'until',
    until: '{{trigger.starts_at}}',
    offset_ms: -86_400_000,
    if_past: 'skip',
  })
  t.same(flow.steps['e']?.config, { kind: 'duration', duration: '{{variables.wait}}', duration_ms: null })
  t.same(flow.steps['w']?.config, {
    any: [
      { event: 'order.paid', match: { order_id: '{{trigger.order_id}}' }, filter: null },
      {
        event: 'lead.replied',
        match: { 'lead.id': '{{trigger.lead}}' },
        filter: { field: 'event.data.ok', operator: 'is_true' },
      },
    ],
    timeout_ms: 604_800_000,
    look_back_ms: 300_000,
  })
  t.same(flow.steps['f']?.config, { list: '{{trigger.items}}', body: 'b', max_items: 5, concurrency: 1 })
  t.same(flow.steps['f']?.next, { done: 'h' })
  t.match(flow.steps['b'], { loop: 'f', next: { success: 'end' } })
  t.match(flow.steps['h'], {
    config: { method: 'POST', headers: {} },
    timeout_ms: 500,
    retry: { max_retries: 0, base_ms: 1000 },
  })
  t.same(flow.steps['x']?.config, { outcome: 'done', reason: 'as {{trigger.why}}' })
  t.end()
})

t.test('every type of trigger and rule of enrolment is written out', (t) => {
  const flow = compiled({
    triggers: [
      { id: 'nightly', type: 'schedule', cron: '0 2 * * *', timezone: 'Europe/Lisbon', catch_up: 'once' },
      { type: 'manual', input_schema: { email: 'string' } },
      { type: 'webhook', filter: { field: 'kind', operator: 'equals', value: 'x' } },
      { type: 'event', event_type: 'customer.created', plugin_id: 'email-marketing' },
    ],
    steps: [act('a')],
    settings: {
      lifetime: '30 days',
      enrolment: {
        key: '{{trigger.id}}',
        reenter_after: '7 days',
        cancel_on: { event: 'lead.replied', match: 'trigger.lead_id' },
      },
    },
  })
  t.same(flow.triggers, [
    { id: 'nightly', type: 'schedule', cron: '0 2 * * *', timezone: 'Europe/Lisbon', catch_up: 'once' },
    {
      id: 'trigger_2',
      type: 'manual',
      input_schema: { type: 'object', properties: { email: { type: 'string' } } },
    },
    { id: 'trigger_3', type: 'webhook', filter: { field: 'trigger.kind', operator: 'equals', value: 'x' } },
    {
      id: 'trigger_4',
      type: 'event',
      event_types: ['customer.created'],
      filter: null,
      plugin_id: 'email-marketing-id',
    },
  ])
  t.same(flow.settings.enrolment, {
    key: '{{trigger.id}}',
    while_active: 'skip',
    reenter_after_ms: 604_800_000,
    cancel_on: [{ event: 'lead.replied', match: { lead_id: '{{trigger.lead_id}}' }, filter: null }],
  })
  t.equal(flow.settings.lifetime_ms, 2_592_000_000)
  t.end()
})

t.test('a body written behind its loop ends where it says, and the loop goes on behind it', (t) => {
  const flow = flowOf([
    { id: 'loop', type: 'for_each', list: 'trigger.items', body: 'one' },
    act('one'),
    act('two', { on_success: 'end' }),
    act('after', { input: { results: '{{steps.loop.output}}' } }),
  ])
  t.same(flow.steps['loop']?.next, { done: 'after' })
  t.same(
    Object.entries(flow.steps).map(([id, { loop }]) => [id, loop]),
    [
      ['loop', null],
      ['one', 'loop'],
      ['two', 'loop'],
      ['after', null],
    ],
  )
  t.end()
})

t.test('handlers follow each other, and conditions keep their groups', (t) => {
  const flow = flowOf(
    [
      {
        id: 'c',
        type: 'condition',
        condition: {
          any: [
            { field: 'a', operator: 'exists' },
            { none: [{ field: 'variables.b', operator: 'is_true' }] },
          ],
        },
      },
      act('a'),
    ],
    {
      error_handlers: [act('log'), act('tell', { input: { why: '{{execution.error.message}}' } })],
      variables: { b: true },
    },
  )
  t.same(flow.handlers, ['log', 'tell'])
  t.same(flow.steps['log']?.next, { success: 'tell' })
  t.same(flow.steps['c']?.config, {
    condition: {
      any: [
        { field: 'trigger.a', operator: 'exists' },
        { none: [{ field: 'variables.b', operator: 'is_true' }] },
      ],
    },
  })
  t.end()
})

t.test('positions are split off into the layout', (t) => {
  const flow = flowOf([act('a', { position: { x: 1, y: 2 } })], { layout: { zoom: 2 } })
  t.same(flow.layout, { zoom: 2, positions: { a: { x: 1, y: 2 } } })
  t.notOk(JSON.stringify(flow.steps).includes('position'))
  t.end()
})

t.test('what was sent is not changed, and the result is plain JSON', (t) => {
  const before = JSON.stringify(GRAPH)
  const { flow } = compile(GRAPH)
  t.equal(JSON.stringify(GRAPH), before)
  t.same(JSON.parse(JSON.stringify(flow)), flow)
  t.end()
})

t.test('the actions to look up are told before compiling', (t) => {
  t.same(actionReferences(GRAPH), [
    { actionType: 'send_welcome_email', pluginRef: 'email-marketing' },
    { actionType: 'log_error', pluginRef: 'logging-plugin' },
  ])
  t.same(actionReferences(LINEAR), [
    { actionType: 'send_email', pluginRef: null },
    { actionType: 'create_task', pluginRef: null },
  ])
  t.same(actionReferences('nonsense'), [])
  t.end()
})
