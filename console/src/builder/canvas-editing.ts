import { CARD } from '../canvas/card.ts'
import type { Editing, Target } from '../canvas/state.svelte.ts'
import type { Place } from '../flow/commands/insert.ts'
import { connecting } from './connecting.ts'
import type { Editor } from './editor.svelte.ts'
import type { NoteEdits } from './note-edits.ts'
import type { StepEdits } from './step-edits.ts'

type Asks = Pick<Editing, 'insert' | 'mark' | 'openMenu' | 'selectNote'>

/** What can be done on the canvas by pointer: the same edits as by keyboard. */
export function canvasEditing(editor: Editor, edits: StepEdits, notes: NoteEdits, asks: Asks): Editing {
  return {
    ...connecting(editor, edits),
    ...asks,
    mayDrop: (what, on) => edits.mayStand(what.kind === 'step' ? { id: what.id } : what, placeOf(on)),
    drop: (what, on) => {
      if (what.kind === 'step') edits.moveTo(what.id, placeOf(on))
      else void edits.insert(what.type, what.members, placeOf(on))
    },
    place: (steps, moved) => {
      if (steps.size > 0) edits.place(steps)
      notes.place(moved)
    },
  }
}

/** How far below its upper edge a card is held. */
const HELD_AT = 24

function placeOf(on: Target): Place {
  if (on.on === 'way') return { at: 'way', from: on.from, port: on.port }
  if (on.on === 'start') return { at: 'start' }
  return { at: 'ground', card: { x: on.x - CARD.width / 2, y: on.y - HELD_AT } }
}
