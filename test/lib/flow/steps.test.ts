import t from 'tap'
import { compileFlow, type CompileResult, describeSteps } from '#lib/flow/index.ts'
import { CALL_MEMBERS } from '#lib/flow/steps/member-schemas.ts'
import { STEP_TYPES, type StepType } from '#lib/flow/steps/index.ts'
import { FLOW_SCHEMA_VERSION } from '#lib/flow/types.ts'
import { checkSchema, validate } from '#lib/schema/safe/index.ts'
import { catalogue } from './support.ts'

type Members = Record<string, unknown>

/** Compiles a step that a flow starts with. */
function compileStep(step: Members): CompileResult {
  const trigger = { type: 'event', event_types: ['customer.created'] }
  return compileFlow({ trigger, steps: [{ id: 'it', ...step }] }, catalogue)
}

const DEFINITIONS = Object.entries(STEP_TYPES)
const DESCRIPTIONS = new Map(describeSteps().map((description) => [description.type, description]))

t.test('every example compiles, and is what the schema of its type says', (t) => {
  for (const [type, { schema, linear }] of DEFINITIONS) {
    const { schema: whole = {} } = DESCRIPTIONS.get(type) ?? {}
    t.strictSame(checkSchema(whole), [], type)
    for (const example of [...schema.examples, ...(linear === null ? [] : [linear])]) {
      const { flow, problems } = compileStep(example)
      t.strictSame(
        problems.filter(({ severity }) => severity === 'error'),
        [],
        JSON.stringify(example),
      )
      t.equal(flow?.steps['it']?.type, type)
      t.strictSame(validate(whole, { id: 'it', ...example }), [])
    }
  }
  t.end()
})

t.test('a schema has the members that its type reads, and no others', (t) => {
  for (const [type, { schema, calls, linear }] of DEFINITIONS) {
    const known = new Set<string>()
    for (const example of [...schema.examples, ...(linear === null ? [] : [linear])]) {
      const { problems } = compileStep({ ...example, nonsense: 1 })
      const { message = '' } = problems.find(({ code }) => code === 'unknown_property') ?? {}
      for (const name of message.replace(/^.*use one of (.*)\.$/, '$1').split(', ')) known.add(name)
    }
    for (const name of ['id', 'type', 'name', 'description', 'position']) t.ok(known.delete(name), name)
    const own = [...Object.keys(schema.properties), ...(calls ? Object.keys(CALL_MEMBERS) : [])]
    t.strictSame([...known].sort(), own.sort(), type)
  }
  t.end()
})

t.test('whatever stands in a member is compiled or refused', (t) => {
  const noText = { toString: 1, valueOf: 1, length: 1 }
  const awkward = [noText, [noText], [[noText]], { a: noText }, [null], null, '', 1e400]
  const settings = { send_window: { from: '09:00', to: '20:00', weekdays: ['MON'], timezone: 'UTC' } }
  const compileAll = (flows: Iterable<unknown>): number => {
    let count = 0
    for (const flow of flows) {
      const { problems } = compileFlow(flow, catalogue)
      if (problems.some(({ message }) => message === '')) t.fail(JSON.stringify(flow))
      count++
    }
    return count
  }
  for (const [type, { schema }] of DEFINITIONS) {
    for (const name of Object.keys(schema.properties)) {
      const steps = schema.examples.flatMap((example) => [
        ...awkward.map((value) => ({ id: 'it', ...example, [name]: value })),
        ...variantsOf(example[name], awkward).map((value) => ({ id: 'it', ...example, [name]: value })),
      ])
      const count = compileAll(steps.map((step) => ({ trigger: { type: 'manual' }, steps: [step] })))
      t.ok(count > 0, `${type}.${name}`)
    }
  }
  const steps = [{ id: 'it', type: 'stop' }]
  t.ok(
    compileAll(
      variantsOf(settings, awkward).map((each) => ({ trigger: { type: 'manual' }, steps, settings: each })),
    ),
  )
  t.end()
})

/** Writes each of these in place of every part of a value. */
function variantsOf(value: unknown, parts: readonly unknown[]): unknown[] {
  if (typeof value !== 'object' || value === null) return [...parts]
  const entries: [string, unknown][] = Object.entries(value)
  const inner = entries.flatMap(([name, member]) =>
    variantsOf(member, parts).map((part) =>
      Array.isArray(value) ? value.with(Number(name), part) : { ...value, [name]: part },
    ),
  )
  return [...parts, ...inner]
}

t.test('the linear format writes the same step as the first example', (t) => {
  const withLinear = DEFINITIONS.filter(([, { linear }]) => linear !== null)
  t.strictSame(
    withLinear.map(([type]) => type),
    ['condition', 'action'],
  )
  for (const [, { schema, linear }] of withLinear) {
    const [graph, linearly] = [schema.examples[0], linear ?? {}].map((step) => compileStep(step).flow)
    t.ok(graph)
    t.strictSame(graph?.steps, linearly?.steps)
  }
  t.end()
})

t.test('ports that a type goes on by, or gives nothing at, are ports of it', (t) => {
  for (const [type, definition] of DEFINITIONS) {
    const ports: readonly string[] = STEP_TYPES[type as StepType].ports(null)
    for (const port of [...definition.goesOn, ...definition.withoutOutput]) t.ok(ports.includes(port), type)
    t.equal(ports.includes('error'), definition.calls, `${type} has an error port if it calls others`)
  }
  t.end()
})

t.test('a switch has an output behind a case that is named like a port of a wait', (t) => {
  const size = {
    id: 'size',
    type: 'switch',
    cases: [{ name: 'timeout', field: 'total', operator: 'gt', value: 3 }],
    on_timeout: 'note',
    on_default: 'end',
  }
  const note = {
    id: 'note',
    type: 'action',
    action_type: 'anything',
    input: { is: '{{steps.size.output.case}}' },
  }
  const { problems } = compileFlow({ trigger: { type: 'manual' }, steps: [size, note] }, catalogue)
  t.strictSame(problems, [])
  const wait = {
    id: 'size',
    type: 'wait_event',
    event: 'order.paid',
    match: 'trigger.order_id',
    timeout: '1 day',
    on_timeout: 'note',
  }
  const waiting = compileFlow({ trigger: { type: 'manual' }, steps: [wait, note] }, catalogue)
  t.match(waiting.problems, [{ code: 'step_not_before' }])
  t.end()
})

t.test('no type is of a newer form than the newest that the release knows', (t) => {
  for (const [type, { since }] of DEFINITIONS) t.ok(since <= FLOW_SCHEMA_VERSION, type)
  t.end()
})
