import fc from 'fast-check'
import { connect } from '#console/src/flow/commands/connect.ts'
import {
  copySteps,
  duplicateStep,
  duplicateSteps,
  pasteSteps,
  readClip,
} from '#console/src/flow/commands/copy.ts'
import { freshStep, idFor, insertStep, type Place } from '#console/src/flow/commands/insert.ts'
import { moveDown, moveStep, moveUp } from '#console/src/flow/commands/move.ts'
import { addNote, noteIdFor, removeNote, updateNote } from '#console/src/flow/commands/notes.ts'
import { placeSteps, tidy } from '#console/src/flow/commands/positions.ts'
import { removeSteps } from '#console/src/flow/commands/remove.ts'
import { changeStepId } from '#console/src/flow/commands/rename.ts'
import { replaceStep } from '#console/src/flow/commands/replace.ts'
import { addTrigger, removeTrigger } from '#console/src/flow/commands/triggers.ts'
import {
  renameStep,
  updateFlow,
  updateSettings,
  updateStep,
  updateTrigger,
  updateVariables,
} from '#console/src/flow/commands/update.ts'
import { type Command, type FlowDocument, graphOf } from '#console/src/flow/document.ts'
import { END, type Members } from '#console/src/flow/graph.ts'
import { NOTE_COLORS, notesOf } from '#console/src/flow/notes.ts'
import { STEP_TYPES } from '#console/src/flow/step-types.ts'

export interface Chosen {
  name: string
  command: Command
  /** It was told to lead a way elsewhere, or to take away what others hang on. */
  mayLoosen: boolean
}

/** So that they compile: a step that is wrong hides its ways. */
const VALID: Readonly<Record<string, Members>> = {
  action: { action_type: 'create_task' },
  message: { body: 'Hello', subject: 'Hi' },
  http: { url: 'https://example.com/' },
  condition: { condition: { field: 'total', operator: 'exists' } },
  switch: { cases: [{ name: 'large', field: 'total', operator: 'gte', value: 5 }] },
  for_each: { list: 'trigger.items' },
  wait_event: { event: 'order.paid', match: 'trigger.order_id' },
  set: { variables: { x: 1 } },
}

type Pick = (count: number) => number

const KINDS: Readonly<Record<string, (document: FlowDocument, pick: Pick) => Command>> = {
  insert: (document, pick) => {
    const type = typeAt(pick)
    return insertStep(placeIn(document, pick), freshStep(type, idFor(type, document), VALID[type]))
  },
  insertAgain: (document, pick) =>
    insertStep(placeIn(document, pick), freshStep('set', idFor('set', document), VALID['set'])),
  remove: (document, pick) => removeSteps([stepIn(document, pick)]),
  removeSeveral: (document, pick) => removeSteps([stepIn(document, pick), stepIn(document, pick)]),
  move: (document, pick) => moveStep(stepIn(document, pick), placeIn(document, pick)),
  moveUp: (document, pick) => moveUp(stepIn(document, pick)),
  moveDown: (document, pick) => moveDown(stepIn(document, pick)),
  connect: (document, pick) =>
    connect(wayIn(document, pick), pick(5) === 0 ? END : pick(5) === 0 ? null : stepIn(document, pick)),
  replace: (document, pick) => {
    const type = typeAt(pick)
    return replaceStep(stepIn(document, pick), type, VALID[type])
  },
  duplicate: (document, pick) => duplicateStep(stepIn(document, pick)),
  paste: (document, pick) => {
    const clip = readClip(copySteps(document, [stepIn(document, pick), stepIn(document, pick)]), JSON.parse)
    return clip === null ? (same) => same : pasteSteps(clip, placeIn(document, pick))
  },
  pasteLoose: (document, pick) => {
    const clip = readClip(copySteps(document, [stepIn(document, pick)]), JSON.parse)
    return clip === null ? (same) => same : pasteSteps(clip, null)
  },
  duplicateSeveral: (document, pick) => duplicateSteps([stepIn(document, pick), stepIn(document, pick)]),
  insertLoose: (document, pick) => {
    const card = { x: 8 * pick(50), y: 8 * pick(50) }
    return insertStep({ at: 'ground', card }, freshStep('set', idFor('set', document), VALID['set']))
  },
  place: (document, pick) => placeSteps(new Map([[stepIn(document, pick), pointAt(pick)]])),
  placeSeveral: (document, pick) =>
    placeSteps(new Map([...graphOf(document).steps.keys()].map((id) => [id, pointAt(pick)]))),
  tidy: () => tidy(),
  addNote: (document, pick) =>
    addNote({ id: noteIdFor(document), ...pointAt(pick), text: `Note ${pick(9)}`, color: 'blue' }),
  updateNote: (document, pick) =>
    updateNote(
      noteIn(document, pick),
      [pointAt(pick), { text: `Text ${pick(9)}` }, { color: NOTE_COLORS[pick(4)] ?? 'red' }][pick(3)] ?? {},
    ),
  removeNote: (document, pick) => removeNote(noteIn(document, pick)),
  updateStep: (document, pick) => updateStep(stepIn(document, pick), { description: `No. ${pick(100)}` }),
  updateCases: (document, pick) => {
    const names = ['large', 'small', 'other'].slice(0, 1 + pick(3))
    const id = [...graphOf(document).steps.values()].find(({ type }) => type === 'switch')?.id ?? ''
    return updateStep(id, { cases: names.map((name) => ({ name, field: name, operator: 'exists' })) })
  },
  rename: (document, pick) => renameStep(stepIn(document, pick), pick(4) === 0 ? '' : `Step ${pick(9)}`),
  changeId: (document, pick) => changeStepId(stepIn(document, pick), `other_${pick(9)}`),
  addTrigger: (_, pick) => addTrigger(['event', 'schedule', 'manual', 'webhook'][pick(4)] ?? ''),
  updateTrigger: (document, pick) => updateTrigger(triggerIn(document, pick), { note: pick(9) }),
  removeTrigger: (document, pick) => removeTrigger(triggerIn(document, pick)),
  updateFlow: (_, pick) => updateFlow({ name: `Flow ${pick(9)}` }),
  updateSettings: (_, pick) => updateSettings({ retry_count: pick(5) === 0 ? undefined : pick(5) }),
  updateVariables: (_, pick) => updateVariables({ limit: pick(9) }),
}
const LOOSENS = new Set([
  'remove',
  'removeSeveral',
  'connect',
  'replace',
  'pasteLoose',
  'updateCases',
  'duplicateSeveral',
  'insertLoose',
])

/** Up to twelve commands, each chosen by what is there when it is its turn. */
export const anyCommands = fc.array(
  fc
    .tuple(fc.constantFrom(...Object.keys(KINDS)), fc.infiniteStream(fc.nat(10_000)))
    .map(([name, numbers]) => (document: FlowDocument): Chosen => {
      const pick: Pick = (count) => Number(numbers.next().value) % Math.max(count, 1)
      const command = KINDS[name]?.(document, pick) ?? ((same: FlowDocument) => same)
      return { name, command, mayLoosen: LOOSENS.has(name) }
    }),
  { maxLength: 12 },
)

function typeAt(pick: Pick): string {
  return [...STEP_TYPES.keys()][pick(STEP_TYPES.size)] ?? 'set'
}

function stepIn(document: FlowDocument, pick: Pick): string {
  const ids = [...graphOf(document).steps.keys()]
  return ids[pick(ids.length)] ?? ''
}

function wayIn(document: FlowDocument, pick: Pick): { from: string; port: string } {
  const ways = [...graphOf(document).steps.values()].flatMap(({ id, ports, type }) =>
    [...ports, ...(type === 'for_each' ? ['body'] : [])].map((port) => ({ from: id, port })),
  )
  return ways[pick(ways.length)] ?? { from: '', port: '' }
}

function pointAt(pick: Pick): { x: number; y: number } {
  return { x: 8 * pick(60) - 120, y: 8 * pick(90) - 120 }
}

function noteIn(document: FlowDocument, pick: Pick): string {
  const notes = notesOf(document)
  return notes[pick(notes.length)]?.id ?? ''
}

function triggerIn(document: FlowDocument, pick: Pick): string {
  const { triggers } = graphOf(document)
  return triggers[pick(triggers.length)]?.id ?? ''
}

function placeIn(document: FlowDocument, pick: Pick): Place {
  switch (pick(6)) {
    case 0:
      return { at: 'start' }
    case 1:
      return { at: 'handlers' }
    case 2:
      return { at: 'before', step: stepIn(document, pick) }
    case 3:
      return { at: 'after', step: stepIn(document, pick) }
    default:
      return { at: 'way', ...wayIn(document, pick) }
  }
}
