import type { Command, FlowDocument } from '../document.ts'
import { listOf, without } from '../document.ts'
import { isObject, type Members } from '../graph.ts'
import { freshId } from '../ids.ts'
import { type Note, noteSize, notesOf } from '../notes.ts'
import { withLayout } from './parts.ts'

const MAX_NOTES = 100

/** Puts a note on the canvas, whose id must not be taken. A hundred are as many as a flow may have. */
export function addNote(note: Pick<Note, 'id' | 'x' | 'y' | 'text' | 'color'>): Command {
  return (document) => {
    const notes = sentNotes(document)
    const isTaken = notes.some((each) => isObject(each) && each['id'] === note.id)
    if (isTaken || notes.length >= MAX_NOTES) return document
    return withNotes(document, [...notes, { ...note, ...noteSize(note.text) }])
  }
}

/** Moves a note, or changes its text or colour; its size follows its text. */
export function updateNote(id: string, change: Partial<Pick<Note, 'x' | 'y' | 'text' | 'color'>>): Command {
  return (document) => {
    const notes = sentNotes(document)
    const index = indexOf(document, id)
    const before = notes[index]
    if (!isObject(before)) return document
    const sized = change.text === undefined ? change : { ...change, ...noteSize(change.text) }
    const isSame = Object.entries(sized).every(([name, value]) => before[name] === value)
    return isSame ? document : withNotes(document, notes.with(index, { ...before, ...sized }))
  }
}

export function removeNote(id: string): Command {
  return (document) => {
    const index = indexOf(document, id)
    return index === -1 ? document : withNotes(document, sentNotes(document).toSpliced(index, 1))
  }
}

/** An id for a new note. */
export function noteIdFor(document: FlowDocument): string {
  const ids = sentNotes(document).flatMap((each) =>
    isObject(each) && typeof each['id'] === 'string' ? each['id'] : [],
  )
  return freshId('note', new Set(ids))
}

/** Also what is no note, which stays. */
function sentNotes({ layout }: FlowDocument): readonly unknown[] {
  return listOf(layout.rest['notes'])
}

function indexOf(document: FlowDocument, id: string): number {
  const isKnown = notesOf(document).some((each) => each.id === id)
  if (!isKnown) return -1
  return sentNotes(document).findIndex((each) => notesOf({ ...document, layout: only(each) })[0]?.id === id)
}

function only(note: unknown): FlowDocument['layout'] {
  return { positions: {}, rest: { notes: [note] } }
}

function withNotes(document: FlowDocument, notes: readonly unknown[]): FlowDocument {
  const rest: Members =
    notes.length === 0 ? without(document.layout.rest, ['notes']) : { ...document.layout.rest, notes }
  return withLayout(document, { rest })
}
