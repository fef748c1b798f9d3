import t from 'tap'
import { connect, connectFault, connectFaults } from '#console/src/flow/commands/connect.ts'
import { copySteps, duplicateStep, pasteSteps, readClip } from '#console/src/flow/commands/copy.ts'
import { addHandler, mayAddHandler } from '#console/src/flow/commands/handlers.ts'
import { INPUTS } from '#console/src/builder/actions.ts'
import { INLINE_CONDITION } from '#console/src/builder/inline.ts'
import { freshStep, idFor, insertStep } from '#console/src/flow/commands/insert.ts'
import { removeSteps } from '#console/src/flow/commands/remove.ts'
import { changeStepId } from '#console/src/flow/commands/rename.ts'
import { replaceStep } from '#console/src/flow/commands/replace.ts'
import { updateStep } from '#console/src/flow/commands/update.ts'
import { type FlowDocument, openDocument, writeDocument } from '#console/src/flow/document.ts'
import { STEP_TYPES } from '#console/src/flow/step-types.ts'
import { summaryOf } from '#console/src/flow/summary.ts'
import { graphOf } from '#console/src/flow/document.ts'
import { spelledNumber } from '#lib/json/raw-number.ts'
import { STEP_TYPES as ENGINE_TYPES } from '#lib/flow/steps/index.ts'

const open = (steps: unknown[], rest: object = {}): FlowDocument =>
  openDocument({ trigger: { type: 'manual' }, steps, ...rest })
const set = (id: string, value: unknown = 1): object => ({ id, type: 'set', variables: { x: value } })
const stepsOf = ({ definition }: FlowDocument): Record<string, Record<string, unknown>> =>
  Object.fromEntries((definition['steps'] as { id: string }[]).map((step) => [step.id, step]))

t.test('a step gets another id wherever it is read', (t) => {
  const before = open([
    set('a'),
    { id: 'c', type: 'condition', field: 'steps.a.output.x', operator: 'exists' },
    set('b', 'steps.a.output, {{ steps.a.output.x | default: "steps.a.output.x" }} {{steps.a_b.output.x}}'),
    set('d', '{% for n in steps.a.output.x %}{{n}}{{steps.a.output.x}}{% endfor %}'),
  ])
  const steps = stepsOf(changeStepId('a', 'first')(before))
  t.match(steps['c'], { field: 'steps.first.output.x' })
  t.match(steps['b'], {
    variables: {
      x: 'steps.a.output, {{ steps.first.output.x | default: "steps.a.output.x" }} {{steps.a_b.output.x}}',
    },
  })
  t.match(steps['d'], {
    variables: { x: '{% for n in steps.first.output.x %}{{n}}{{steps.first.output.x}}{% endfor %}' },
  })
  t.equal(changeStepId('a', 'b')(before), before)
  t.equal(changeStepId('a', 'No id')(before), before)
  t.end()
})

t.test('what led to a deleted step leads on, or ends', (t) => {
  const chain = open([set('a'), set('b'), set('c')])
  t.match(stepsOf(removeSteps(['b'])(chain)), { a: { next: 'c' } })
  t.equal(removeSteps(['a'])(chain).definition['start'], 'b')
  t.match(stepsOf(removeSteps(['b', 'c'])(chain)), { a: { next: 'end' } })
  const branches = open([
    set('a'),
    { id: 'c', type: 'condition', field: 'x', operator: 'exists', on_true: 'y', on_false: 'z' },
    set('y'),
    set('z'),
  ])
  t.match(stepsOf(removeSteps(['c'])(branches)), { a: { next: 'end' } })
  t.end()
})

t.test('a way that may not be is refused with the compiler’s word', (t) => {
  const document = open([
    set('a'),
    { id: 'each', type: 'for_each', list: 'trigger.items', body: [set('in')] },
    set('b'),
  ])
  t.equal(connectFault(document, { from: 'b', port: 'next' }, 'a'), 'cycle')
  t.equal(connectFault(document, { from: 'b', port: 'next' }, 'in'), 'loop_entered')
  t.equal(connectFault(document, { from: 'a', port: 'next' }, 'b'), null)
  t.equal(connectFault(document, { from: 'a', port: 'next' }, 'nowhere'), 'unknown_target')
  t.equal(connect({ from: 'b', port: 'next' }, 'a')(document), document)
  for (const from of ['a', 'each', 'in', 'b']) {
    const way = { from, port: from === 'each' ? 'done' : 'next' }
    for (const [to, fault] of connectFaults(document, way)) {
      t.equal(fault, connectFault(document, way, to), `${from} to ${to}`)
    }
  }
  t.end()
})

t.test('copies have ids of their own, and read one another', (t) => {
  const document = open([set('a'), set('b', '{{steps.a.output.x}} {{steps.z.output.x}}')])
  const clip = readClip(copySteps(document, ['a', 'b']), JSON.parse)
  const other = pasteSteps(clip ?? never(), { at: 'after', step: 'set_1' })(open([set('set_1')]))
  t.strictSame(stepsOf(other), {
    set_1: { ...set('set_1'), next: 'set_2' },
    set_2: { ...set('set_2'), next: 'set_3' },
    set_3: { ...set('set_3', '{{steps.set_2.output.x}} {{steps.z.output.x}}'), next: 'end' },
  })
  t.match(stepsOf(pasteSteps(clip ?? never(), null)(open([set('q')]))), { q: { next: 'end' } })
  const swapped = openDocument({
    trigger: { type: 'manual' },
    steps: [set('set_2'), set('set_1', '{{steps.set_2.output.x}}'), set('z', '{{steps.set_1.output.x}}')],
  })
  const exchanged = readClip(copySteps(swapped, ['set_2', 'set_1', 'z']), JSON.parse)
  t.match(
    stepsOf(pasteSteps(exchanged ?? never(), null)(open([]))),
    {
      set_1: set('set_1'),
      set_2: set('set_2', '{{steps.set_1.output.x}}'),
      set_3: set('set_3', '{{steps.set_2.output.x}}'),
    },
    'ids that change places are not mixed up',
  )
  for (const text of ['', 'x', '{}', '{"format":"bettercallsold.steps.1","steps":[]}'])
    t.equal(readClip(text, JSON.parse), null)
  t.end()
})

t.test('a step of another type keeps its ways and what both have', (t) => {
  const before = open(
    [
      {
        id: 'm',
        type: 'message',
        channel: 'email',
        body: 'Hi',
        name: 'Tell',
        timeout: '5 s',
        on_error: 'h',
        on_success: 'b',
      },
      set('b'),
    ],
    { error_handlers: [set('h')] },
  )
  t.match(stepsOf(replaceStep('m', 'http', { url: 'https://example.com/' })(before))['m'], {
    id: 'm',
    type: 'http',
    name: 'Tell',
    body: 'Hi',
    timeout: '5 s',
    on_success: 'b',
    on_error: 'h',
  })
  t.match(stepsOf(replaceStep('m', 'delay')(before))['m'], { type: 'delay', next: 'b', duration: '1 day' })
  t.end()
})

t.test('ways follow the cases that they belong to', (t) => {
  const test = { field: 'x', operator: 'exists' }
  const before = open([
    { id: 's', type: 'switch', cases: [{ name: 'one', ...test }], on_one: 'a', on_default: 'a' },
    set('a'),
  ])
  const renamed = updateStep('s', { cases: [{ name: 'first', ...test }] })(before)
  t.match(stepsOf(renamed)['s'], { on_first: 'a', on_default: 'a', on_one: undefined })
  const more = updateStep('s', {
    cases: [
      { name: 'one', ...test },
      { name: 'two', ...test },
    ],
  })(before)
  t.match(stepsOf(more)['s'], { on_one: 'a', on_two: 'end' })
  t.end()
})

/** What may be any value. */
const AS_JSON = ['body', 'collect']

t.test('every type of the engine stands in the table, with its ways and members', (t) => {
  t.strictSame([...STEP_TYPES.keys()].sort(), Object.keys(ENGINE_TYPES).sort())
  for (const [name, definition] of Object.entries(ENGINE_TYPES)) {
    const entry = STEP_TYPES.get(name)
    const ports = definition.ports(null)
    t.strictSame(entry?.ports({}), ports, name)
    t.strictSame(entry?.goesOn, definition.goesOn, name)
    t.equal(entry?.hasBody, definition.body !== null, name)
    t.equal(entry?.calls, definition.calls, name)
    const members = Object.keys(definition.schema.properties)
    const fields = entry?.fields ?? []
    for (const field of fields) t.ok(members.includes(field.name), `${name}.${field.name}`)
    // All that the engine takes has a field.
    const asked = fields.flatMap(({ name: field, kind }) => [
      field,
      ...(kind === 'action' ? [...INPUTS, 'action_id', 'plugin_id'] : []),
      ...(kind === 'condition' ? INLINE_CONDITION : []),
    ])
    if (definition.body !== null) asked.push('body')
    for (const member of members) t.ok(asked.includes(member), `${name}.${member} has a field`)
    const unreadable = fields.filter(({ kind, name: field }) => kind === 'json' && !AS_JSON.includes(field))
    t.strictSame(unreadable, [], `${name} asks for no JSON`)
    for (const member of Object.keys(entry?.fresh ?? {})) t.ok(members.includes(member), `${name}.${member}`)
  }
  t.end()
})

t.test('a further type is one further entry', (t) => {
  STEP_TYPES.set('trial', {
    label: { en: 'Trial', de: 'Versuch' },
    glyph: '?',
    group: 'act',
    ports: () => ['left', 'right'],
    mainPort: 'right',
    goesOn: ['right'],
    hasBody: false,
    calls: false,
    fresh: { size: 3 },
    fields: [{ name: 'size', kind: 'number' }],
    summary: ({ size }) => `size ${String(size)}`,
  })
  t.teardown(() => STEP_TYPES.delete('trial'))
  const document = open([set('a'), { id: 'old', type: 'trial' }, set('b')])
  t.match(stepsOf(document)['old'], { on_left: 'end', on_right: 'b' })
  const id = idFor('trial', document)
  const after = insertStep({ at: 'after', step: 'old' }, freshStep('trial', id))(document)
  t.match(stepsOf(after), {
    old: { on_right: 'trial_1' },
    trial_1: { size: 3, on_left: 'end', on_right: 'b' },
  })
  const step = graphOf(after).steps.get(id)
  t.equal(step && summaryOf(step), 'size 3')
  t.match(stepsOf(removeSteps(['old'])(after)), { a: { next: 'trial_1' } })
  t.strictSame(openDocument(writeDocument(after)), after)
  t.end()
})

function never(): never {
  throw new Error('there is a clip')
}

t.test('a handler takes up the errors of a step', (t) => {
  const call = (id: string, rest: object = {}): object => ({
    id,
    type: 'action',
    action_type: 'create_task',
    input: {},
    ...rest,
  })
  const members = (id: string) => ({ id, type: 'set', variables: {} })
  const handlersOf = ({ definition }: FlowDocument): unknown => definition['error_handlers']
  const alone = addHandler('a', members('h'))(open([call('a')]))
  t.match(stepsOf(alone), { a: { on_error: 'h' } })
  t.match(handlersOf(alone), [{ id: 'h', next: 'end' }])

  // The first of the handlers is that of all other steps.
  const beside = addHandler('a', members('h'))(open([call('a')], { error_handlers: [set('all')] }))
  t.match(handlersOf(beside), [{ id: 'all' }, { id: 'h', next: 'end' }])
  const before = addHandler('a', members('i'))(alone)
  t.match(stepsOf(before), { a: { on_error: 'i' } })
  t.match(handlersOf(before), [{ id: 'h' }, { id: 'i', next: 'h' }])

  const elsewhere = open([call('a', { on_error: 'b' }), set('b')])
  t.notOk(mayAddHandler(elsewhere, 'a'))
  t.equal(addHandler('a', members('h'))(elsewhere), elsewhere)
  t.notOk(mayAddHandler(elsewhere, 'b'), 'what does not fail')
  t.equal(addHandler('a', { ...members('h'), type: 'for_each' })(alone), alone, 'a loop is no handler')
  t.end()
})

t.test('steps are pasted among the handlers as well', (t) => {
  const document = open([set('a')], { error_handlers: [set('h'), set('i')] })
  const clip = readClip(copySteps(document, ['a']), JSON.parse) ?? never()
  t.match(pasteSteps(clip, { at: 'after', step: 'h' })(document).definition, {
    steps: [{ id: 'a', next: 'end' }],
    error_handlers: [{ id: 'h', next: 'set_1' }, { id: 'i' }, { id: 'set_1', next: 'i' }],
  })
  t.match(duplicateStep('i')(document).definition['error_handlers'], [
    { id: 'h', next: 'i' },
    { id: 'i', next: 'set_1' },
    { id: 'set_1', next: 'end' },
  ])
  const loop = open([{ id: 'each', type: 'for_each', list: 'trigger.items', body: [set('in')] }], {
    error_handlers: [set('h')],
  })
  const loopClip = readClip(copySteps(loop, ['each']), JSON.parse) ?? never()
  t.equal(pasteSteps(loopClip, { at: 'after', step: 'h' })(loop), loop)
  t.end()
})

t.test('what a message says is no way: it is copied, and read when an id changes', (t) => {
  const raw = spelledNumber('12345678901234567890')
  const document = openDocument({
    triggers: [{ type: 'manual' }],
    steps: [
      { id: 'a', type: 'set', variables: { n: raw } },
      {
        id: 'mail',
        type: 'message',
        channel: 'email',
        to: 'x@example.com',
        body: 'It is {{steps.a.output.n}}',
      },
      {
        id: 'each',
        type: 'for_each',
        list: 'trigger.items',
        body: [{ id: 'in', type: 'set', variables: {} }],
      },
    ],
  })
  const membersOf = (after: FlowDocument, id: string) => graphOf(after).steps.get(id)?.members
  const copied = [...graphOf(duplicateStep('mail')(document)).steps.values()].filter(
    ({ type }) => type === 'message',
  )
  t.same(
    copied.map(({ members }) => members['body']),
    ['It is {{steps.a.output.n}}', 'It is {{steps.a.output.n}}'],
  )
  t.match(membersOf(changeStepId('a', 'z')(document), 'mail'), { body: 'It is {{steps.z.output.n}}' })
  const twice = [...graphOf(duplicateStep('a')(document)).steps.values()].filter(({ id }) =>
    /^(a|set_)/.test(id),
  )
  t.equal(twice.length, 2)
  for (const { members } of twice)
    t.equal((members['variables'] as { n: unknown }).n, raw, 'as it was written')
  t.notMatch(membersOf(replaceStep('each', 'message')(document), 'each'), { body: 'in' })
  t.match(membersOf(replaceStep('mail', 'for_each')(document), 'mail'), { type: 'for_each' })
  t.notOk(Object.hasOwn(membersOf(replaceStep('mail', 'for_each')(document), 'mail') ?? {}, 'body'))
  t.end()
})

t.test('a loop that is written in a loop is kept, however wrong', (t) => {
  const inner = {
    id: 'inner',
    type: 'for_each',
    list: 'item.parts',
    body: [{ id: 'deep', type: 'set', variables: {} }],
  }
  const opened = openDocument({
    triggers: [{ type: 'manual' }],
    steps: [{ id: 'outer', type: 'for_each', list: 'trigger.items', body: [inner] }],
  })
  t.match(JSON.stringify(writeDocument(opened)), /"deep"/)
  t.end()
})
