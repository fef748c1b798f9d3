import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { factsOf, readAll, type ShopAnswers } from '#console/src/flow/catalogue.ts'
import { CompileRequests } from '#console/src/flow/compile-requests.ts'
import { type CompileRequest, createCompiler, createSession, parseExact } from '#console/src/flow/compiler.ts'
import { Buffer as Shim } from '#console/src/flow/buffer.ts'
import { openDocument } from '#console/src/flow/document.ts'
import type { CatalogueFacts } from '#lib/flow/index.ts'
import { FAMILIES } from '#test/lib/flow/problem-cases/index.ts'
import { startApp } from '#test/support/app.ts'
import { GRAPH, LINEAR } from '#test/support/flow-examples.ts'
import { anyDraft, definitions } from './support/flows.ts'

const service = await startApp(t)
const shop = service.tenant()

/** As the console asks for it. */
async function readFacts(): Promise<CatalogueFacts> {
  const all = async <Item>(path: string): Promise<Item[]> =>
    readAll(async ({ limit, cursor }) => {
      const query = new URLSearchParams({ limit: String(limit), ...(cursor !== undefined && { cursor }) })
      const answer = await shop.get(`${path}?${query.toString()}`)
      assert.equal(answer.statusCode, 200, answer.body)
      return answer.json<{ data: Item[]; next_cursor: string | null }>()
    })
  const tenant = (await shop.get('/api/tenant')).json<{ strict_events: boolean; has_platform: boolean }>()
  return factsOf({
    strictEvents: tenant.strict_events,
    hasPlatform: tenant.has_platform,
    actions: await all<ShopAnswers['actions'][number]>('/api/plugins/actions'),
    plugins: await all<ShopAnswers['plugins'][number]>('/api/plugins'),
    eventTypes: await all<ShopAnswers['eventTypes'][number]>('/api/event-types'),
    connections: await all<ShopAnswers['connections'][number]>('/api/connections'),
    variables: await all<ShopAnswers['variables'][number]>('/api/variables'),
  })
}

async function fillShop(): Promise<void> {
  const done = async (answer: Promise<{ statusCode: number; body: string }>): Promise<void> => {
    const { statusCode, body } = await answer
    assert.ok(statusCode < 300, body)
  }
  await done(
    shop.post('/api/plugins', {
      name: 'Email marketing',
      slug: 'email-marketing',
      webhook_url: 'https://mail.example.com/hooks',
      events: [],
    }),
  )
  await done(
    shop.post('/api/plugins/email-marketing/register-actions', {
      actions: [
        {
          action_type: 'send_campaign',
          title: 'Send a campaign',
          required_fields: ['recipient', 'copy'],
          output_schema: { type: 'object', properties: { queued: { type: 'boolean' } } },
        },
      ],
    }),
  )
  await done(
    shop.put('/api/event-types/loyalty.earned', {
      schema: {
        type: 'object',
        properties: {
          points: { type: 'integer' },
          lines: { type: 'array', items: { type: 'object', properties: { sku: { type: 'string' } } } },
        },
      },
      sample: { points: 5, lines: [{ sku: 'A' }] },
    }),
  )
  await done(shop.put('/api/variables/support_email', { value: 'help@example.com' }))
}

let compile: ReturnType<typeof createCompiler>
t.before(async () => {
  await fillShop()
  compile = createCompiler(await readFacts())
})

/** Cases that are no flows by their shape. */
const REFUSED = ['no object', 'too deep']

async function compareWith(definition: unknown): Promise<string | null> {
  const text = JSON.stringify(definition)
  const answer = await shop.post('/api/automation/flows/validate', definition)
  // A definition that is no flow by its shape is refused before it is compiled.
  if (answer.statusCode !== 200) return null
  const { problems } = compile(parseExact(text))
  const there = answer.json<{ problems: unknown[] }>().problems
  return JSON.stringify(problems) === JSON.stringify(there)
    ? ''
    : `${text}: ${JSON.stringify(problems)} instead of ${JSON.stringify(there)}`
}

t.test('the browser says what the service says: every problem case', async (t) => {
  const refused: string[] = []
  for (const [name, definition] of Object.values(FAMILIES).flat()) {
    const difference = await compareWith(definition)
    if (difference === null) refused.push(name)
    else t.equal(difference, '', name)
  }
  for (const definition of [GRAPH, LINEAR]) t.equal(await compareWith(definition), '')
  t.strictSame(refused, REFUSED, 'no other is refused before it is compiled')
})

t.test('the browser says what the service says: 300 flows', async (t) => {
  const flows = fc.sample(fc.oneof({ arbitrary: definitions, weight: 3 }, anyDraft), 3_000)
  let count = 0
  const differences: string[] = []
  for (const flow of flows) {
    if (count === 300) break
    const named = typeof flow === 'object' ? { name: 'Flow', ...flow } : flow
    const difference = await compareWith(named)
    if (difference !== null) count++
    if (difference !== null && difference !== '') differences.push(difference)
  }
  t.strictSame(differences.slice(0, 3), [])
  t.equal(count, 300, 'so many were compared')
})

t.test('the scope of a step has what came before, typed, with examples', (t) => {
  const { scopeAt } = compile({
    trigger: { type: 'event', event_types: ['loyalty.earned'] },
    variables: { limit: 5 },
    steps: [
      { id: 'check', type: 'condition', field: 'points', operator: 'gte', value: 5 },
      { id: 'tell', type: 'action', action_type: 'send_campaign', input: { recipient: 'a', copy: 'b' } },
      {
        id: 'each',
        type: 'for_each',
        list: 'trigger.lines',
        body: [{ id: 'note', type: 'set', variables: { sku: '{{item.sku}}' } }],
      },
      { id: 'last', type: 'stop' },
    ],
    error_handlers: [{ id: 'alarm', type: 'stop' }],
  })
  const of = (step: string | null): Map<string, object> =>
    new Map(scopeAt(step).map(({ path, ...entry }) => [path, entry]))
  t.strictSame(of('check').get('trigger.points'), { type: 'integer', group: 'trigger', sample: 5 })
  t.strictSame(of('check').get('trigger.lines[0].sku'), { type: 'string', group: 'trigger', sample: 'A' })
  t.notOk(of('check').has('steps.tell.output.queued'))
  t.strictSame(of('each').get('steps.tell.output.queued'), { type: 'boolean', group: 'steps' })
  t.strictSame(of('note').get('item.sku'), { type: 'string', group: 'item', sample: 'A' })
  t.notOk(of('last').has('item.sku'))
  t.notOk(of('last').has('steps.note.output.sku'))
  t.strictSame(of('last').get('steps.each.output.count'), { type: 'integer', group: 'steps' })
  t.strictSame(of('last').get('variables.limit'), { type: 'number', group: 'variables', sample: 5 })
  t.ok(of('last').has('variables.support_email'))
  t.strictSame(of('alarm').get('execution.error.code'), { type: 'string', group: 'execution' })
  t.ok(of(null).has('trigger.points'))
  t.notOk(of(null).has('variables.limit'))
  t.end()
})

t.test('every path of a scope compiles where it is offered, but for what may be missing', (t) => {
  fc.assert(
    fc.property(definitions, (definition) => {
      const before = compile(definition)
      if (before.canonical === null) return
      for (const step of definition.steps) {
        for (const { path, may_be_missing: mayBeMissing } of before.scopeAt(step.id)) {
          const text = mayBeMissing === true ? `{{${path} | default: ""}}` : `{{${path}}}`
          const steps = definition.steps.map((each) =>
            each.id === step.id ? { ...each, type: 'set', variables: { x: text } } : each,
          )
          if (step.type !== 'set') continue
          const { problems } = compile({ ...definition, steps })
          const errors = problems.filter(
            ({ severity, step_id: id }) => severity === 'error' && id === step.id,
          )
          if (errors.length > 0) throw new Error(`${path}: ${JSON.stringify(errors)}`)
        }
      }
    }),
    { numRuns: 60 },
  )
  t.end()
})

t.test('the worker answers once it knows the shop and the flow, and keeps both', async (t) => {
  const facts = await readFacts()
  const session = createSession()
  const text = JSON.stringify(openDocument(GRAPH).definition)
  t.equal(session({ rev: 1, step: null, facts: JSON.stringify(facts) }), null)
  const answer = session({ rev: 2, step: null, text })
  t.equal(answer?.rev, 2)
  t.strictSame(answer?.problems, compile(JSON.parse(text)).problems)
  const selected = session({ rev: 3, step: 'action_1' })
  t.strictSame(selected?.problems, answer?.problems)
  t.ok(selected?.scope.some(({ path }) => path === 'steps.condition_1.output.result'))
  const inexact = session({
    rev: 4,
    step: null,
    text: '{ "steps": [], "variables": { "x": 1.10, "y": 12345678901234567890 } }',
  })
  t.match(inexact?.problems, [{ code: 'invalid_value', pointer: '/variables/y' }])
})

t.test('typing waits a moment, and answers that are out of date are dropped', (t) => {
  const posted: CompileRequest[] = []
  const waiting = new Map<() => void, number>()
  const requests = new CompileRequests({
    post: (request) => posted.push(request),
    later: (call, ms) => {
      waiting.set(call, ms)
      return () => waiting.delete(call)
    },
  })
  const answer = (rev: number) => ({ rev, problems: [], isValid: true, scope: [] })
  requests.compile({ name: 'a' }, false)
  t.strictSame(posted.at(-1), { rev: 1, step: null, text: '{"name":"a"}' })
  requests.compile({ name: 'ab' }, true)
  requests.compile({ name: 'abc' }, true)
  t.strictSame([...waiting.values()], [80])
  t.equal(posted.length, 1)
  for (const call of waiting.keys()) call()
  t.strictSame(posted.at(-1), { rev: 2, step: null, text: '{"name":"abc"}' })
  t.notOk(requests.take(answer(1)))
  t.ok(requests.take(answer(2)))
  requests.select('x')
  requests.select('x')
  t.strictSame(posted.at(-1), { rev: 3, step: 'x' })
  const facts: CatalogueFacts = {
    strictEvents: false,
    eventTypes: [
      { name: 'order.created', schema: null, plugin: null, sample: parseExact('{"total":1e400}') },
    ],
    actions: [],
    plugins: [],
    connections: [],
    variables: [],
  }
  requests.setFacts(facts)
  t.match(posted.at(-1)?.facts, /"sample":\{"total":1e400\}/, 'numbers pass as they were written')
  for (const request of posted) t.doesNotThrow(() => structuredClone(request))
  requests.restart()
  t.notOk(requests.take(answer(4)), 'what the worker before says does not count')
  requests.select('y')
  const told = { step: 'y', text: '{"name":"abc"}', facts: JSON.stringify(facts) }
  t.strictSame(posted.at(-1), { rev: 6, ...told }, 'another worker is told everything')
  requests.select('z')
  t.strictSame(posted.at(-1), { rev: 7, step: 'z' })
  requests.compile({}, true)
  requests.stop()
  t.equal(waiting.size, 1)
  t.end()
})

t.test('texts are as long as Node says', (t) => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) }),
      (one, other) =>
        Shim.byteLength(one) === Buffer.byteLength(one) &&
        Shim.byteLength(other) === Buffer.byteLength(other),
    ),
  )
  t.end()
})
