import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { arrangeFlow } from '#console/src/canvas/arrange.ts'
import { type Box, layoutFlow } from '#console/src/canvas/layout.ts'
import { placesFor } from '#console/src/builder/places.ts'
import { freshStep, insertStep } from '#console/src/flow/commands/insert.ts'
import { moveStep } from '#console/src/flow/commands/move.ts'
import { addNote, removeNote, updateNote } from '#console/src/flow/commands/notes.ts'
import { placeSteps, tidy } from '#console/src/flow/commands/positions.ts'
import { removeSteps } from '#console/src/flow/commands/remove.ts'
import { type FlowDocument, graphOf, openDocument, writeDocument } from '#console/src/flow/document.ts'
import { readGraph, scopeOf } from '#console/src/flow/graph.ts'
import { notesOf, shownLayout } from '#console/src/flow/notes.ts'
import { definitions } from './support/flows.ts'

const set = (id: string): object => ({ id, type: 'set', variables: { x: 1 } })
const open = (ids: string[], rest: object = {}): FlowDocument =>
  openDocument({ trigger: { type: 'manual' }, steps: ids.map(set), ...rest })
const overlaps = (one: Box, other: Box): boolean =>
  one.x < other.x + other.width &&
  other.x < one.x + one.width &&
  one.y < other.y + other.height &&
  other.y < one.y + one.height

t.test('what was put by hand stands there, and the rest stands around it', (t) => {
  const point = fc.record({
    x: fc.integer({ min: -400, max: 900 }),
    y: fc.integer({ min: -200, max: 1_200 }),
  })
  fc.assert(
    fc.property(definitions, fc.dictionary(fc.constantFrom('a', 'b', 'c'), point), (definition, places) => {
      const graph = readGraph(definition)
      const layout = arrangeFlow(graph, layoutFlow(graph), places)
      const outer = [...graph.steps.values()].filter((step) => scopeOf(graph, step) === null)
      const boxOf = (id: string): Box => (layout.frames.get(id) ?? layout.steps.get(id)) as Box
      assert.equal(layout.steps.size, graph.steps.size)
      for (const [id, { x, y }] of Object.entries(places)) {
        const box = layout.steps.get(id)
        if (box !== undefined) assert.deepStrictEqual([box.x, box.y], [x, y])
      }
      const isPlaced = (id: string): boolean =>
        [id, ...[...graph.steps.values()].flatMap((step) => (step.loop === id ? step.id : []))].some((each) =>
          Object.hasOwn(places, each),
        )
      for (const { id } of outer.filter((step) => !isPlaced(step.id))) {
        for (const { id: other } of outer) {
          assert.ok(id === other || !overlaps(boxOf(id), boxOf(other)), `${id} stands on ${other}`)
        }
      }
    }),
    { numRuns: 300 },
  )
  t.end()
})

t.test('without places a flow is laid out as ever', (t) => {
  const graph = graphOf(open(['a', 'b']))
  const auto = layoutFlow(graph)
  t.equal(arrangeFlow(graph, auto, {}), auto)
  t.equal(arrangeFlow(graph, auto, { gone: { x: 1, y: 1 } }), auto)
  t.end()
})

t.test('places are kept, tidied and go with their step', (t) => {
  const placed = placeSteps(
    new Map([
      ['a', { x: 0, y: 0 }],
      ['b', { x: 0, y: 128 }],
      ['nobody', { x: 1, y: 1 }],
    ]),
  )(open(['a', 'b', 'c']))
  t.strictSame(writeDocument(placed)['layout'], {
    positions: { a: { x: 0, y: 0 }, b: { x: 0, y: 128 } },
  })
  t.equal(placeSteps(new Map([['a', { x: 0, y: 0 }]]))(placed), placed)
  t.strictSame(tidy()(placed).layout.positions, {})
  t.strictSame(tidy()(placed).definition, placed.definition)
  t.strictSame(removeSteps(['a'])(placed).layout.positions, { b: { x: 0, y: 128 } })
  const inserted = insertStep({ at: 'after', step: 'a' }, freshStep('set', 'new', { variables: {} }))(placed)
  t.strictSame(inserted.layout.positions, {
    a: { x: 0, y: 0 },
    new: { x: 0, y: 128 },
    b: { x: 0, y: 256 },
  })
  const moved = moveStep('a', { at: 'after', step: 'c' })(placed)
  t.notOk(Object.hasOwn(moved.layout.positions, 'a'), 'on another way it is laid out')
  t.end()
})

t.test('a step on the ground is led to by nothing, but the first one by the triggers', (t) => {
  const members = freshStep('set', 'new', { variables: {} })
  const at = { at: 'ground', card: { x: 8, y: 16 } } as const
  const loose = insertStep(at, members)(open(['a']))
  t.equal(loose.definition['start'], 'a')
  t.strictSame(loose.layout.positions, { new: { x: 8, y: 16 } })
  t.strictSame(
    graphOf(loose).edges.filter(({ to }) => to === 'new'),
    [],
  )
  const first = insertStep(at, members)(open([]))
  t.equal(first.definition['start'], 'new')
  t.strictSame(first.layout.positions, {})
  t.end()
})

t.test('notes are kept as they came, with what is none', (t) => {
  const notes = [{ id: 'note_1', x: 0, y: 8, text: 'Why', w: 80, h: 40, author: 'Ana' }, 7, { id: 'odd' }]
  const document = open(['a'], { layout: { notes, grid: 8 } })
  t.match(notesOf(document), [{ id: 'note_1', color: 'yellow', w: 80 }])
  t.equal(notesOf(document).length, 1)
  const changed = updateNote('note_1', { text: 'Because', color: 'red' })(document)
  t.match(writeDocument(changed)['layout'], {
    grid: 8,
    notes: [{ id: 'note_1', text: 'Because', color: 'red', author: 'Ana' }, 7, { id: 'odd' }],
  })
  t.equal(updateNote('odd', { text: 'x' })(document), document)
  const added = addNote({ id: 'note_2', x: 0, y: 0, text: '', color: 'green' })(document)
  t.equal(addNote({ id: 'odd', x: 0, y: 0, text: '', color: 'green' })(added), added)
  t.strictSame(writeDocument(removeNote('note_2')(added)), writeDocument(document))
  t.match(shownLayout(writeDocument(added)), { notes: [{ id: 'note_1' }, { id: 'note_2' }], positions: {} })
  t.end()
})

t.test('where a step may be moved to has the place where it stands, once', (t) => {
  const check = { type: 'condition', field: 'x', operator: 'exists' }
  const document = openDocument({
    trigger: { type: 'manual' },
    steps: [{ id: 'check', ...check, on_true: 'a', on_false: 'a' }, set('a'), set('loose')],
    start: 'check',
  })
  const keysOf = (id: string) => placesFor(document, id).places.map(({ key }) => key)
  t.equal(placesFor(document, 'check').here, 'start')
  t.equal(placesFor(document, 'a').here, 'check true')
  t.strictSame(keysOf('a'), ['start', 'check true', 'loose next'])
  const apart = openDocument({
    trigger: { type: 'manual' },
    steps: [{ ...set('a'), next: 'end' }, set('loose')],
  })
  t.equal(placesFor(apart, 'loose').here, null)
  t.end()
})
