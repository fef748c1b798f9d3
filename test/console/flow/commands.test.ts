import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { type FlowDocument, graphOf, openDocument, writeDocument } from '#console/src/flow/document.ts'
import { apply, createHistory, redo, undo } from '#console/src/flow/history.ts'
import { compileFlow } from '#lib/flow/index.ts'
import { GRAPH } from '#test/support/flow-examples.ts'
import { anyCommands, type Chosen } from './support/commands.ts'
import { definitions, everything } from './support/flows.ts'

/** Problems that no command may cause. */
const NEVER = new Set([
  'malformed',
  'invalid_id',
  'duplicate_id',
  'unknown_port',
  'unknown_target',
  'unknown_handler',
  'cycle',
  'handler_cycle',
  'loop_nested',
  'loop_entered',
  'handler_target',
  'handler_type',
])
const LOOSE = new Set(['unreachable_step', 'unused_handler'])

function problemsOf(document: FlowDocument): Set<string> {
  const { problems } = compileFlow(writeDocument(document), everything)
  return new Set(
    problems
      .filter(({ code }) => NEVER.has(code) || LOOSE.has(code))
      .map(({ code, step_id }) => `${code} ${step_id ?? ''}`),
  )
}

function checkStep(before: FlowDocument, { command, name, mayLoosen }: Chosen): FlowDocument {
  const after = command(before)
  if (after === before) return before
  const brought = problemsOf(after).difference(problemsOf(before))
  // A step that nothing led to may get another id.
  if (name === 'changeId' && problemsOf(after).size === problemsOf(before).size) return after
  const faults = [...brought].filter((each) => !mayLoosen || !LOOSE.has(each.split(' ')[0] ?? ''))
  assert.deepStrictEqual(faults, [], `${name}: ${JSON.stringify(before)} -> ${JSON.stringify(after)}`)
  return after
}

/** A start with a loop, a branch and handlers, and flows of all kinds that compile. */
const starts = fc.oneof(
  fc.constant(GRAPH as unknown),
  definitions.filter((definition) => compileFlow(definition, everything).flow !== null),
  fc.constant({}),
  fc.constant({
    trigger: { type: 'manual' },
    steps: [
      {
        id: 'size',
        type: 'switch',
        cases: [{ name: 'large', field: 'x', operator: 'exists' }],
        on_large: 'call',
      },
      { id: 'call', type: 'http', url: 'https://example.com/', on_success: 'each', on_error: 'alarm' },
      {
        id: 'each',
        type: 'for_each',
        list: 'trigger.items',
        body: [{ id: 'inner', type: 'set', variables: { x: 1 } }],
      },
    ],
    layout: { notes: [{ id: 'note_1', x: 0, y: 0, w: 80, h: 40, text: 'Why' }] },
    error_handlers: [
      { id: 'first', type: 'set', variables: { x: 1 } },
      { id: 'alarm', type: 'http', url: 'https://example.com/' },
    ],
  }),
)

t.test('no command brings what the compiler refuses, or cuts off what it was not told to', (t) => {
  fc.assert(
    fc.property(starts, anyCommands, (start, choices) => {
      let document = openDocument(start)
      for (const choose of choices) {
        document = checkStep(document, choose(document))
        assert.deepStrictEqual(openDocument(writeDocument(document)), document)
      }
    }),
    { numRuns: 400 },
  )
  t.end()
})

t.test('undo and redo are identities over 1,000 sequences of commands', (t) => {
  let edits = 0
  fc.assert(
    fc.property(starts, anyCommands, fc.integer({ min: 0, max: 12 }), (start, choices, back) => {
      const seen: FlowDocument[] = [openDocument(start)]
      let history = createHistory(seen[0] as FlowDocument)
      for (const [index, choose] of choices.entries()) {
        const frozen = JSON.stringify(history.present)
        const { command, name } = choose(history.present)
        const before = history.present
        history = apply(history, command, { label: name, now: index * 1_000 })
        assert.equal(JSON.stringify(before), frozen, `${name} leaves what it got`)
        if (history.present !== before) seen.push(history.present)
      }
      edits += seen.length - 1
      const steps = Math.min(back, seen.length - 1)
      for (let at = 1; at <= steps; at++) {
        history = undo(history)
        assert.equal(history.present, seen.at(-1 - at))
      }
      for (let at = steps - 1; at >= 0; at--) {
        history = redo(history)
        assert.equal(history.present, seen.at(-1 - at))
      }
      assert.equal(redo(history), history)
    }),
    { numRuns: 1_000 },
  )
  t.ok(edits > 2_000, `${edits} edits`)
  t.end()
})

t.test('each kind of command does something', (t) => {
  const done = new Map<string, number>()
  fc.assert(
    fc.property(starts, anyCommands, (start, choices) => {
      let document = openDocument(start)
      for (const choose of choices) {
        const { command, name } = choose(document)
        const after = command(document)
        done.set(name, (done.get(name) ?? 0) + (after === document ? 0 : 1))
        document = after
      }
      return graphOf(document).steps.size >= 0
    }),
    { numRuns: 1_000, seed: 15 },
  )
  for (const [name, count] of done) t.ok(count > 0, name)
  t.ok(done.size >= 20)
  t.end()
})
