import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { type Box, layoutFlow } from '#console/src/canvas/layout.ts'
import { neighbour, outlineOf } from '#console/src/canvas/walk.ts'
import { readGraph, scopeOf } from '#console/src/flow/graph.ts'
import { compileFlow } from '#lib/flow/index.ts'
import { defineFlow } from '#modules/flow-template/index.ts'
import { TEMPLATES } from '#modules/flow-template/templates/index.ts'
import { blocksOf } from '#test/examples/guide.ts'
import { GRAPH, LINEAR } from '#test/support/flow-examples.ts'
import { definitions, everything, THAT_COMPILE } from './support/flows.ts'

/** Returns the compiler's reading of the definition, in the graph's form; null: it does not compile. */
function compiled(definition: unknown): unknown {
  const { flow } = compileFlow(definition, everything)
  if (flow === null) return null
  return {
    start: flow.start,
    handlers: flow.handlers,
    triggers: flow.triggers.map(({ id, type }) => ({ id, type })),
    steps: Object.entries(flow.steps)
      .map(([id, { next, handler, ...step }]) => ({
        id,
        type: step.type,
        loop: step.loop,
        isHandler: handler,
        next: Object.entries(next).sort(),
        body: step.type === 'for_each' ? step.config.body : null,
      }))
      .sort((one, other) => one.id.localeCompare(other.id)),
  }
}

function read(definition: unknown): unknown {
  const graph = readGraph(definition)
  return {
    start: graph.start,
    handlers: graph.handlers,
    triggers: graph.triggers.map(({ id, type }) => ({ id, type })),
    steps: [...graph.steps.values()]
      .map(({ id, type, loop, isHandler, body }) => ({
        id,
        type,
        loop,
        isHandler,
        next: (graph.edgesFrom.get(id) ?? [])
          .filter(({ port }) => port !== 'body')
          .map(({ port, to }) => [port, to])
          .sort(),
        body,
      }))
      .sort((one, other) => one.id.localeCompare(other.id)),
  }
}

t.test('ways lead where the compiler says: examples, the guide, every template', async (t) => {
  const guide = blocksOf(await readFile(resolve(import.meta.dirname, '../../../docs/flows.md'), 'utf8'))
  const flows = guide.filter(({ language, name }) => language === 'json' && name === 'flow')
  const steps = guide.filter(({ language, name }) => language === 'json' && name === 'steps')
  const definitions = [
    LINEAR,
    GRAPH,
    ...flows.map(({ text }) => JSON.parse(text) as unknown),
    ...steps.map(({ text }) => ({ trigger: { type: 'manual' }, steps: JSON.parse(text) as unknown })),
    ...TEMPLATES.map(({ id }) => defineFlow(id, {})),
  ]
  let count = 0
  for (const definition of definitions) {
    const expected = compiled(definition)
    if (expected === null) continue
    count++
    t.strictSame(read(definition), expected, JSON.stringify(definition).slice(0, 120))
  }
  t.ok(count > 20, `${count} of ${definitions.length} compile`)
})

t.test('ways lead where the compiler says, whatever compiles', (t) => {
  fc.assert(
    fc.property(definitions, (definition) => {
      const expected = compiled(definition)
      fc.pre(expected !== null)
      assert.deepStrictEqual(read(definition), expected)
    }),
    THAT_COMPILE,
  )
  t.end()
})

const overlaps = (one: Box, other: Box): boolean =>
  one.x < other.x + other.width &&
  other.x < one.x + one.width &&
  one.y < other.y + other.height &&
  other.y < one.y + one.height

/** Lists the faults in the places of a definition's cards. */
function misplaced(definition: unknown): string[] {
  const graph = readGraph(definition)
  const layout = layoutFlow(graph)
  const faults = [...graph.steps.keys()]
    .filter((id) => !layout.steps.has(id))
    .map((id) => `${id} has no place`)
  const boxes = [...layout.steps, ...layout.triggers]
  for (const [index, [id, box]] of boxes.entries()) {
    for (const [other, otherBox] of boxes.slice(index + 1)) {
      if (overlaps(box, otherBox)) faults.push(`${id} and ${other} overlap`)
    }
    const step = graph.steps.get(id)
    const frame = step?.isHandler === false ? layout.frames.get(scopeOf(graph, step) ?? '') : undefined
    if (frame === undefined) continue
    const isInside =
      box.x >= frame.x &&
      box.x + box.width <= frame.x + frame.width &&
      box.y >= frame.y &&
      box.y + box.height <= frame.y + frame.height
    if (!isInside) faults.push(`${id} is not in its loop`)
  }
  return faults
}

t.test('cards have each a place of their own, and bodies stand in their loop', (t) => {
  fc.assert(
    fc.property(definitions, (definition) => {
      const faults = misplaced(definition)
      if (faults.length > 0) throw new Error(faults.join(', '))
    }),
    { numRuns: 200 },
  )
  t.strictSame(misplaced(GRAPH), [])
  t.end()
})

t.test('whatever stands in a draft is read, and what is no step is left out', (t) => {
  for (const odd of [
    null,
    7,
    'x',
    [],
    {},
    { steps: 7 },
    { steps: [null, 7, {}, { id: 7 }], triggers: [null, { type: 9 }] },
    { flow_definition: null, trigger_event: ['a', 'b'] },
    { steps: [{ id: 'a', type: 'nonsense', on_x: 'a' }, { id: 'a' }, { id: 'end' }] },
    { steps: [{ id: 'a', type: 'for_each', body: [{ id: 'b', type: 'for_each', body: 'a' }] }] },
    { steps: [{ id: 'a', type: 'switch', cases: [{ name: 'x' }, null, { name: 'x' }], on_x: 'nowhere' }] },
  ]) {
    const graph = readGraph(odd)
    t.ok(layoutFlow(graph), JSON.stringify(odd))
    t.ok(outlineOf(graph))
  }
  t.end()
})

t.test('arrow keys follow the ways, and the outline has every step once', (t) => {
  const graph = readGraph({
    steps: [
      { id: 'check', type: 'condition', on_true: 'yes', on_false: 'no' },
      { id: 'yes', type: 'http', on_success: 'each' },
      { id: 'no', type: 'http', on_success: 'each' },
      { id: 'each', type: 'for_each', list: 'x', body: [{ id: 'inner', type: 'http' }] },
    ],
    error_handlers: [{ id: 'alarm', type: 'http' }],
  })
  t.equal(neighbour(graph, null, 'ArrowDown'), 'check')
  t.equal(neighbour(graph, 'check', 'ArrowDown'), 'yes')
  t.equal(neighbour(graph, 'yes', 'ArrowRight'), 'no')
  t.equal(neighbour(graph, 'yes', 'ArrowLeft'), 'no')
  t.equal(neighbour(graph, 'no', 'ArrowDown'), 'each')
  t.equal(neighbour(graph, 'each', 'ArrowDown'), 'inner')
  t.equal(neighbour(graph, 'inner', 'ArrowUp'), 'each')
  t.equal(neighbour(graph, 'check', 'ArrowUp'), null)
  t.strictSame(outlineOf(graph), [
    { id: 'check', level: 1 },
    { id: 'yes', level: 1 },
    { id: 'no', level: 1 },
    { id: 'each', level: 1 },
    { id: 'inner', level: 2 },
    { id: 'alarm', level: 1 },
  ])
  t.end()
})
