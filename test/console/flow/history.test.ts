import t from 'tap'
import { openDocument } from '#console/src/flow/document.ts'
import { updateFlow } from '#console/src/flow/commands/update.ts'
import {
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
