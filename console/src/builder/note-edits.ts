import { addNote, noteIdFor, removeNote, updateNote } from '../flow/commands/notes.ts'
import type { Point } from '../flow/document.ts'
import { type NoteColor, notesOf } from '../flow/notes.ts'
import { words } from '../i18n/words.svelte.ts'
import { toasts } from '../kit/toasts.svelte.ts'
import type { Editor } from './editor.svelte.ts'

const w = words({
  en: {
    added: 'Add a note',
    changed: 'Change a note',
    moved: 'Move a note',
    deleted: 'Delete a note',
    full: 'A flow has up to a hundred notes.',
  },
  de: {
    added: 'Notiz hinzufügen',
    changed: 'Notiz ändern',
    moved: 'Notiz bewegen',
    deleted: 'Notiz löschen',
    full: 'Ein Ablauf hat höchstens hundert Notizen.',
  },
})

/** What can be done with notes: each one edit. */
export class NoteEdits {
  readonly #editor: Editor

  constructor(editor: Editor) {
    this.#editor = editor
  }

  /** Returns its id; null: there are too many. @param centre where it stands, at its middle */
  add(centre: Point): string | null {
    const id = noteIdFor(this.#editor.document)
    const [x, y] = [Math.round(centre.x - 104), Math.round(centre.y - 32)]
    if (this.#editor.do(w.added, addNote({ id, x, y, text: '', color: 'yellow' }))) return id
    toasts.add(w.full, 'bad')
    return null
  }

  write(id: string, text: string): void {
    this.#editor.do(w.changed, updateNote(id, { text }), `note ${id}`)
  }

  paint(id: string, color: NoteColor): void {
    this.#editor.do(w.changed, updateNote(id, { color }))
  }

  place(places: ReadonlyMap<string, Point>): void {
    for (const [id, { x, y }] of places) {
      if (this.#editor.do(w.moved, updateNote(id, { x, y }), `place note ${id}`)) this.#editor.said = w.moved
    }
  }

  remove(id: string): void {
    if (notesOf(this.#editor.document).some((note) => note.id === id))
      this.#editor.do(w.deleted, removeNote(id))
  }
}
