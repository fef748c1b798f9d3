import t from 'tap'
import { openDocument } from '#console/src/flow/document.ts'
import { freshStep, insertStep } from '#console/src/flow/commands/insert.ts'
import { fillStep, updateFlow, updateStep } from '#console/src/flow/commands/update.ts'
import { packHistory, unpackHistory } from '#console/src/flow/kept-history.ts'
import { spelledNumber } from '#lib/json/raw-number.ts'
import {
  amend,
  apply,
  createHistory,
  type History,
  redo,
  redoLabel,
  undo,
  undoLabel,
} from '#console/src/flow/history.ts'

const begin = (): History => createHistory(openDocument({ name: '' }))
const nameOf = ({ present }: History): unknown => present.definition['name']
const call = (history: History, name: string, now: number, key?: string): History =>
  apply(history, updateFlow({ name }), { label: `Name ${name}`, now, ...(key !== undefined && { key }) })

t.test('edits of one field that follow one another closely are undone at once', (t) => {
  let history = call(begin(), 'a', 0, 'name')
  history = call(history, 'ab', 800, 'name')
  history = call(history, 'abc', 1_500, 'name')
  history = call(history, 'abcd', 2_301, 'name')
  t.equal(history.past.length, 2)
  t.equal(undoLabel(history), 'Name abcd')
  history = undo(history)
  t.equal(nameOf(history), 'abc')
  history = undo(history)
  t.equal(nameOf(history), '')
  t.equal(undo(history), history)
  history = redo(redo(history))
  t.equal(nameOf(history), 'abcd')
  t.equal(redo(history), history)
  t.end()
})

t.test('edits of two fields, without a field, or after undoing stand alone', (t) => {
  let history = call(call(begin(), 'a', 0, 'one'), 'b', 1, 'two')
  t.equal(history.past.length, 2)
  history = call(call(history, 'c', 2), 'd', 3)
  t.equal(history.past.length, 4)
  history = undo(history)
  t.equal(redoLabel(history), 'Name d')
  history = call(history, 'e', 4)
  t.equal(redoLabel(history), null)
  t.equal(nameOf(undo(history)), 'c')
  const merged = call(call(begin(), 'a', 0, 'one'), 'b', 1, 'one')
  const again = call(redo(undo(merged)), 'c', 2, 'one')
  t.equal(nameOf(undo(again)), 'b')
  t.end()
})

t.test('what changes nothing is no edit, and the oldest of many is forgotten', (t) => {
  const first = begin()
  t.equal(call(first, '', 0), first)
  let history = first
  for (let at = 1; at <= 250; at++) history = call(history, String(at), at)
  t.equal(history.past.length, 200)
  for (let at = 0; at < 250; at++) history = undo(history)
  t.equal(nameOf(history), '50')
  t.equal(history.future.length, 200)
  t.end()
})

t.test('a history outlives a reload, as long as the draft is the same', (t) => {
  const raw = spelledNumber('1.10')
  let history = createHistory(openDocument({ name: '', variables: { rate: raw } }))
  for (const name of ['a', 'b', 'c']) history = call(history, name, 0)
  history = undo(history)
  const spelled = (_: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' && context?.source !== undefined ? spelledNumber(context.source) : value
  const kept: unknown = JSON.parse(JSON.stringify(packHistory(history)), spelled)
  const { name, ...rest } = history.present.definition
  const opened = { ...history.present, definition: { ...rest, name } }
  const again = unpackHistory(kept, opened)
  t.equal(again?.present, opened)
  t.equal(again && undoLabel(again), 'Name b')
  t.equal(again && redoLabel(again), 'Name c')
  t.same(
    again?.past.map(({ document }) => document),
    history.past.map(({ document }) => document),
  )
  t.equal(again && nameOf(undo(again)), 'a')
  t.match(again && JSON.stringify(undo(again).present), /"rate":1\.10/)

  t.equal(unpackHistory(kept, call(history, 'elsewhere', 0).present), null)
  t.equal(unpackHistory({ ...(kept as object), past: [{ label: 'x' }] }, opened), null)
  t.equal(unpackHistory(undefined, opened), null)
  t.end()
})

t.test('of many edits, or large ones, the last are kept', (t) => {
  let history = begin()
  for (let count = 0; count < 60; count++) history = call(history, `n${count}`, 0)
  t.equal(packHistory(history).past.length, 50)
  t.equal(packHistory(history).past.at(-1)?.label, 'Name n59')
  let large = createHistory(openDocument({ name: '', description: 'x'.repeat(300_000) }))
  for (const name of ['a', 'b', 'c', 'd', 'e']) large = call(large, name, 0)
  t.same(
    packHistory(large).past.map(({ label }) => label),
    ['Name c', 'Name d', 'Name e'],
  )
  t.end()
})

t.test('what a step should have begun with is amended wherever it is empty, and undone exactly', (t) => {
  const message = freshStep('message', 'message')
  const toOf = ({ present }: History): unknown =>
    (present.definition['steps'] as Record<string, unknown>[]).find(({ id }) => id === 'message')?.['to']
  const first = begin()
  let history = apply(first, insertStep({ at: 'start' }, message), { label: 'Insert', now: 0 })
  history = call(history, 'a', 1)
  history = apply(history, updateStep('message', { to: 'own@shop.example' }), { label: 'To', now: 2 })
  history = call(history, 'b', 3)
  history = undo(history)
  const fill = fillStep('message', 'message', { to: '{{trigger.email}}', cc: 'not there' })
  const amended = amend(history, fill)
  t.same([amended.past.length, amended.future.length], [history.past.length, history.future.length])
  t.equal(toOf(amended), 'own@shop.example', 'what was written stays')
  t.equal(nameOf(redo(amended)), 'b')
  const before = undo(amended)
  t.equal(toOf(before), '{{trigger.email}}')
  t.equal(nameOf(before), 'a')
  t.equal(toOf(undo(before)), '{{trigger.email}}')
  t.equal(undo(undo(before)).present, first.present, 'a document without the step is the same')
  t.equal(toOf(redo(undo(before))), '{{trigger.email}}')
  t.equal(fillStep('message', 'request', { to: 'x' })(history.present), history.present, 'another type')
  t.notOk(JSON.stringify(amended).includes('not there'), 'nothing is added')
  t.end()
})
