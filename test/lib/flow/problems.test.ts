import t from 'tap'
import { problemTextDe } from '#console/src/flow/problem-texts-de.ts'
import { compileFlow, describeFlowProblems, FLOW_PROBLEMS } from '#lib/flow/index.ts'
import { catalogue } from './support.ts'
import { FAMILIES } from './problem-cases/index.ts'
import { act, declared, delay, flow, mail, tests } from './problem-cases/definitions.ts'

for (const [family, cases] of Object.entries(FAMILIES))
  t.test(`every mistake in ${family} is found, at its place, with the fix`, (t) => {
    for (const [name, definition, code, pointer, message] of cases) {
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
  const seen = new Set(
    Object.values(FAMILIES)
      .flat()
      .map(([, , code]) => code),
  )
  const described = describeFlowProblems()
  for (const { code, title } of described) t.match(title, /^[A-Z"]/, code)
  const rest = Object.keys(FLOW_PROBLEMS).filter((code) => !seen.has(code))
  t.same(rest, ['too_many_problems', 'platform_not_configured', 'operator_unavailable'])
  t.end()
})

t.test(
  'says at each step that the platform is not connected, and leaves room for what else is wrong',
  (t) => {
    const without = { ...catalogue, hasPlatform: false }
    const { flow: compiled, problems } = compileFlow(
      flow([
        act('a'),
        { id: 'm', type: 'message', channel: 'email', to: 'a@b.c', subject: 'x', body: 'x' },
        act('p', { plugin_id: 'logging-plugin', action_type: 'log_error' }),
      ]),
      without,
    )
    t.ok(compiled, 'it may be published')
    const found = problems.map(({ code, step_id: id, severity, pointer }) => [code, id, severity, pointer])
    const code = 'platform_not_configured'
    t.strictSame(found, [
      [code, 'a', 'warning', '/steps/0/action_type'],
      [code, 'm', 'warning', '/steps/1'],
    ])
    for (const problem of problems) t.match(problemTextDe(problem), /^„(anything|send_email)“ scheitert/)
    const many = Array.from({ length: 300 }, (_, index) => act(`a${index}`))
    t.equal(compileFlow(flow(many), without).problems.length, 50)
    t.ok(compileFlow(flow(many), without).flow)
    t.end()
  },
)

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
    delay({ until: '{{trigger.at}}', business_days: false }),
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

t.test('an unknown event type is a warning in a lenient shop and an error in a strict one', (t) => {
  const unknown = flow([act('a')], { trigger: { type: 'event', event_types: ['customer.create'] } })
  for (const [strictEvents, severity] of [
    [false, 'warning'],
    [true, 'error'],
  ] as const) {
    const { flow: compiled, problems } = compileFlow(unknown, { ...catalogue, strictEvents })
    t.match(problems, [{ code: 'unknown_event_type', severity, message: /mean "customer.created"/ }])
    t.equal(compiled === null, strictEvents)
  }
  t.end()
})
