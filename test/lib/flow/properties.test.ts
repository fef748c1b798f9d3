import fc from 'fast-check'
import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import type { CompileResult } from '#lib/flow/index.ts'
import { compileFlow, definitionFormat } from '#lib/flow/index.ts'
import { catalogue } from './support.ts'
import { walk } from './walk.ts'

/** Of CPU time, generous for slow machines; work that is not linear takes minutes. */
const MAX_MS = 5000

const STEPS = 8
const id = fc.integer({ min: 0, max: STEPS }).map((index) => (index === STEPS ? 'end' : `s${index}`))
const port = fc.option(id, { nil: undefined })
const reference = fc.option(
  id.map((step) => `{{steps.${step === 'end' ? 's0' : step}.output}}`),
  { nil: undefined },
)

/** Steps that lead anywhere: about half of such flows have a cycle or read what is not there. */
const anyStep = fc.oneof(
  fc.record({
    type: fc.constant('condition'),
    field: fc.constant('a'),
    operator: fc.constant('exists'),
    on_true: port,
    on_false: port,
  }),
  fc.record({
    type: fc.constant('action'),
    action_type: fc.constant('anything'),
    input: fc.record({ x: reference }),
    on_success: port,
    on_error: port,
  }),
  fc.record({ type: fc.constant('set'), variables: fc.constant({ v: '{{now}}' }), next: port }),
  fc.record({
    type: fc.constant('switch'),
    cases: fc.constant([{ name: 'one', field: 'a', operator: 'exists' }]),
    on_one: port,
    on_default: port,
  }),
  fc.record({
    type: fc.constant('wait_event'),
    event: fc.constant('order.paid'),
    match: fc.constant('trigger.order_id'),
    timeout: fc.constant('1 day'),
    on_received: port,
    on_timeout: port,
  }),
  fc.record({ type: fc.constant('for_each'), list: fc.constant('trigger.items'), body: id, on_done: port }),
  fc.record({ type: fc.constant('stop') }),
)

const anyFlow = fc
  .record({
    steps: fc.array(anyStep, { minLength: 1, maxLength: STEPS }),
    handlers: fc.array(fc.constant({ type: 'action', action_type: 'anything' }), { maxLength: 2 }),
    isForward: fc.boolean(),
  })
  .map(({ steps, handlers, isForward }) => ({
    trigger: { type: 'manual' },
    steps: steps.map((step, index) => {
      const named = { id: `s${index}`, ...step }
      return isForward ? forward(named, index, steps.length) : named
    }),
    error_handlers: handlers.map((step, index) => ({ id: `h${index}`, ...step })),
  }))

/** Turns every port that leads back or nowhere into one that ends. */
function forward(step: Record<string, unknown>, index: number, count: number): Record<string, unknown> {
  const entries = Object.entries(step).map(([name, value]) => {
    const target = typeof value === 'string' && /^s\d$/.test(value) ? Number(value.slice(1)) : null
    const isLost = target !== null && name !== 'id' && (target <= index || target >= count)
    return [name, isLost ? (name === 'body' ? `s${index + 1}` : 'end') : value]
  })
  return Object.fromEntries(entries) as Record<string, unknown>
}

function resolves(pointer: string, definition: unknown): boolean {
  let current = definition
  for (const segment of pointer.split('/').slice(1)) {
    const name = segment.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, name)) return false
    current = (current as Record<string, unknown>)[name]
  }
  return true
}

/** Null if the result is sound, else what is wrong with it. */
function unsound({ flow, problems }: CompileResult, definition: unknown): string | null {
  const errors = problems.filter(({ severity }) => severity === 'error')
  if ((flow === null) !== errors.length > 0) return 'refused without a reason, or accepted with errors'
  const lost = problems.find(({ pointer }) => !resolves(pointer, definition))
  if (lost) return `nothing is at ${lost.pointer}`
  return problems.some(({ message }) => message.length < 10) ? 'a problem without a message' : null
}

t.test('any flow that is accepted comes to an end by whichever ports, and reads only what is there', (t) => {
  let accepted = 0
  fc.assert(
    fc.property(anyFlow, fc.array(fc.nat(), { minLength: 40, maxLength: 40 }), (definition, choices) => {
      const result = compileFlow(definition, catalogue)
      const fault = unsound(result, definition)
      if (fault) throw new Error(fault)
      if (!result.flow) return
      accepted++
      let at = 0
      const { missing } = walk(result.flow, (options) => (choices[at++ % choices.length] ?? 0) % options)
      if (missing.length > 0) throw new Error(missing.join(', '))
    }),
    { numRuns: 2000 },
  )
  t.ok(accepted > 200, `${accepted} of 2,000 flows were accepted`)
  t.end()
})

t.test('any value at all is compiled or refused with a reason', (t) => {
  const word = fc.constantFrom(
    'trigger',
    'steps',
    'type',
    'id',
    'action',
    'a',
    'end',
    'on_success',
    '{{',
    '{{x}}',
    '3 days',
    '',
  )
  const anything = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      word,
      fc.constantFrom(null, true, 0, -1, 1e21),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(
        fc.constantFrom(
          ...'trigger triggers trigger_event flow_definition steps error_handlers settings enrolment variables layout start'.split(
            ' ',
          ),
          ...'id type field operator value condition all cases any match filter event list body input config duration until'.split(
            ' ',
          ),
          ...'plugin_id action_type retry timeout headers url on_true on_error next cron timezone key cancel_on'.split(
            ' ',
          ),
        ),
        tie('value'),
        { maxKeys: 6 },
      ),
    ),
  })).value
  const types = fc.constantFrom(
    'condition',
    'switch',
    'action',
    'delay',
    'wait_event',
    'for_each',
    'set',
    'http',
    'stop',
  )
  const step = fc
    .tuple(types, anything, fc.nat(5))
    .map(([type, rest, index]) =>
      typeof rest === 'object' && rest !== null && !Array.isArray(rest)
        ? { ...rest, type, id: `s${index}` }
        : rest,
    )
  const definition = fc.oneof(
    anything,
    fc.record({
      trigger: anything,
      steps: fc.array(step, { maxLength: 5 }),
      settings: anything,
      error_handlers: anything,
    }),
    fc.record({
      trigger_event: anything,
      flow_definition: fc.record({ steps: fc.array(step, { maxLength: 4 }) }),
    }),
  )
  fc.assert(
    fc.property(definition, (value) => {
      const fault = unsound(compileFlow(value, catalogue), value)
      if (fault) throw new Error(fault)
      t.ok(['linear', 'graph'].includes(definitionFormat(value)))
    }),
    { numRuns: 1000 },
  )
  t.end()
})

t.test('large definitions are compiled or refused quickly', (t) => {
  const action = (index: number, rest: Record<string, unknown> = {}): Record<string, unknown> => ({
    id: `s${index}`,
    type: 'action',
    action_type: 'anything',
    ...rest,
  })
  const of = (count: number, make: (index: number) => unknown): unknown => ({
    trigger: { type: 'manual' },
    steps: Array.from({ length: count }, (_, index) => make(index)),
  })
  const ladder = (index: number): Record<string, unknown> => {
    const ports = Array.from(
      { length: 50 },
      (_, each) => [`on_c${each}`, `s${Math.min(index + 1 + each, 499)}`] as const,
    )
    const cases = ports.map(([name], each) => ({
      name: name.slice(3),
      field: 'a',
      operator: 'equals',
      value: each,
    }))
    return index === 499
      ? action(index)
      : { id: `s${index}`, type: 'switch', cases, ...Object.fromEntries(ports) }
  }
  let nested: unknown = 'x'
  for (let depth = 0; depth < 200_000; depth++) nested = [nested]
  const hostile: [string, unknown, boolean][] = [
    [
      '500 steps that read each other',
      of(500, (index) => action(index, { input: { x: `{{steps.s${Math.max(index - 1, 0)}.output}}` } })),
      false,
    ],
    [
      '500 steps in a row',
      of(500, (index) => action(index, index > 0 ? { input: { x: `{{steps.s${index - 1}.output}}` } } : {})),
      true,
    ],
    ['25,000 cases', of(500, ladder), true],
    [
      'a ring of 500 steps',
      of(500, (index) =>
        action(index, { on_success: `s${(index + 1) % 500}`, on_error: `s${(index * 7) % 500}` }),
      ),
      false,
    ],
    ['100,000 steps', of(100_000, (index) => action(index)), false],
    [
      '10 MB of literal text',
      of(500, (index) => action(index, { input: { text: 'x'.repeat(20_000) } })),
      true,
    ],
    [
      '10 MB of templates',
      of(500, (index) => action(index, { input: { text: '{{trigger.a | upcase}}'.repeat(900) } })),
      false,
    ],
    [
      '10 MB of open braces',
      of(1, (index) => action(index, { input: { text: '{{'.repeat(5_000_000) } })),
      false,
    ],
    [
      'a million numbers',
      of(1, (index) =>
        action(index, { input: { list: Array.from({ length: 1_000_000 }, (_, each) => each) } }),
      ),
      true,
    ],
    ['200,000 lists in each other', of(1, (index) => action(index, { input: { nested } })), false],
    [
      'handlers and steps beyond 500',
      { ...(of(499, action) as object), error_handlers: [{ ...action(500) }, { ...action(501) }] },
      false,
    ],
  ]
  for (const [name, definition, isAccepted] of hostile) {
    const spent = cpuTimer()
    const { flow, problems } = compileFlow(definition, catalogue)
    const ms = spent()
    t.equal(flow !== null, isAccepted, `${name}: ${JSON.stringify(problems[0])}`)
    t.ok(ms < MAX_MS, `${name}: ${Math.round(ms)} ms`)
    t.ok(problems.length <= 200)
  }
  t.end()
})
