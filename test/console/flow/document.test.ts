import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { graphOf, openDocument, writeDocument } from '#console/src/flow/document.ts'
import { readGraph } from '#console/src/flow/graph.ts'
import { compileFlow } from '#lib/flow/index.ts'
import { defineFlow } from '#modules/flow-template/index.ts'
import { TEMPLATES } from '#modules/flow-template/templates/index.ts'
import { blocksOf } from '#test/examples/guide.ts'
import { GRAPH, LINEAR } from '#test/support/flow-examples.ts'
import { anyDraft, definitions, everything, THAT_COMPILE } from './support/flows.ts'

async function examples(): Promise<unknown[]> {
  const guide = blocksOf(await readFile(resolve(import.meta.dirname, '../../../docs/flows.md'), 'utf8'))
  const named = (wanted: string): unknown[] =>
    guide
      .filter(({ language, name }) => language === 'json' && name === wanted)
      .map(({ text }) => JSON.parse(text) as unknown)
  return [
    LINEAR,
    GRAPH,
    ...named('flow'),
    ...named('steps').map((steps) => ({ trigger: { type: 'manual' }, steps })),
    ...named('trigger').map((trigger) => ({ trigger, steps: [{ id: 'a', type: 'stop' }] })),
    ...TEMPLATES.map(({ id }) => defineFlow(id, {})),
  ]
}

t.test('what is opened and written compiles to the same: the guide, every template', async (t) => {
  let count = 0
  for (const definition of await examples()) {
    const before = compileFlow(definition, everything)
    if (before.flow === null) continue
    count++
    const document = openDocument(definition)
    const after = compileFlow(writeDocument(document), everything)
    t.strictSame(after.flow, before.flow, JSON.stringify(definition).slice(0, 120))
  }
  t.ok(count > 20, `${count} compile`)
})

t.test('what is opened and written compiles to the same, whatever compiles', (t) => {
  fc.assert(
    fc.property(definitions, (definition) => {
      const { flow } = compileFlow(definition, everything)
      fc.pre(flow !== null)
      assert.deepStrictEqual(compileFlow(writeDocument(openDocument(definition)), everything).flow, flow)
    }),
    THAT_COMPILE,
  )
  t.end()
})

t.test('a draft is opened whatever it is, and opened again it is the same', (t) => {
  fc.assert(
    fc.property(fc.oneof(definitions, anyDraft, fc.jsonValue()), (draft) => {
      const once = writeDocument(openDocument(draft))
      assert.deepStrictEqual(writeDocument(openDocument(once)), once)
    }),
    { numRuns: 1_000 },
  )
  t.end()
})

t.test('ways are written out as they led', (t) => {
  fc.assert(
    fc.property(definitions, (definition) => {
      const { edges, start } = graphOf(openDocument(definition))
      const expected = readGraph(definition)
      const names = ({ from, port, to }: (typeof edges)[number]): string => `${from} ${port} ${to}`
      assert.deepStrictEqual(edges.map(names).sort(), expected.edges.map(names).sort())
      assert.equal(start, expected.start)
    }),
    { numRuns: 400 },
  )
  t.end()
})

t.test('a linear flow becomes a graph, with what nobody knows kept', (t) => {
  const document = openDocument({
    name: 'Welcome',
    tags: ['a'],
    trigger_event: 'customer.created',
    trigger_filter: { field: 'email', operator: 'exists' },
    flow_definition: {
      steps: [
        { id: 'check', type: 'condition', field: 'total', operator: 'gte', value: 5, colour: 'red' },
        { type: 'for_each', list: 'trigger.items', body: [{ id: 'note', type: 'set', variables: {} }] },
      ],
      settings: { timeout: 5 },
      odd: 1,
      layout: { grid: 8, notes: [{ id: 'n', x: 0, y: 0, w: 80, h: 40, text: 'Why' }] },
    },
  })
  t.strictSame(document.definition, {
    odd: 1,
    name: 'Welcome',
    tags: ['a'],
    settings: { timeout: 5 },
    triggers: [
      {
        type: 'event',
        event_types: ['customer.created'],
        filter: { field: 'email', operator: 'exists' },
        id: 'trigger_1',
      },
    ],
    start: 'check',
    steps: [
      {
        id: 'check',
        type: 'condition',
        field: 'total',
        operator: 'gte',
        value: 5,
        colour: 'red',
        on_true: 'for_each_1',
        on_false: 'end',
      },
      { type: 'for_each', list: 'trigger.items', body: 'note', id: 'for_each_1', on_done: 'end' },
      { id: 'note', type: 'set', variables: {}, next: 'end' },
    ],
  })
  t.strictSame(document.layout, {
    positions: {},
    rest: { grid: 8, notes: [{ id: 'n', x: 0, y: 0, w: 80, h: 40, text: 'Why' }] },
  })
  t.end()
})

t.test('ids that are missing or taken are given anew, and places of steps are the layout’s', (t) => {
  const document = openDocument({
    triggers: [{ type: 'manual' }, { type: 'webhook', id: 'trigger_1' }, 7],
    steps: [
      { id: 'a', type: 'set', variables: {}, position: { x: 8, y: 16 } },
      { id: 'a', type: 'set', variables: {} },
      { id: 'end', type: 'stop' },
      null,
    ],
    error_handlers: [{ id: 'a', type: 'stop' }],
  })
  t.strictSame(document.definition, {
    triggers: [{ type: 'manual', id: 'trigger_2' }, { type: 'webhook', id: 'trigger_1' }, 7],
    start: 'a',
    steps: [
      { id: 'a', type: 'set', variables: {}, next: 'set_1' },
      { id: 'set_1', type: 'set', variables: {}, next: 'stop_1' },
      { id: 'stop_1', type: 'stop' },
      null,
    ],
    error_handlers: [{ id: 'stop_2', type: 'stop' }],
  })
  t.strictSame(document.layout.positions, { a: { x: 8, y: 16 } })
  t.end()
})
