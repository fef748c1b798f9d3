import type { FlowDocument, Point } from './document.ts'
import { listOf, openDocument } from './document.ts'
import { isObject } from './graph.ts'

export const NOTE_COLORS = ['yellow', 'blue', 'green', 'red'] as const
export type NoteColor = (typeof NOTE_COLORS)[number]

/** What people wrote on the canvas. */
export interface Note extends Point {
  readonly id: string
  readonly w: number
  readonly h: number
  readonly text: string
  readonly color: NoteColor
}

const WIDTH = 208
const LEAST_HEIGHT = 64
const MOST_HEIGHT = 320
const LINE = 18
const AROUND = 24
const LETTERS_IN_LINE = 28
export const NOTE_LETTERS_MAX = 2_000

/** How large a note is that has this text. */
export function noteSize(text: string): { w: number; h: number } {
  const lines = text
    .split('\n')
    .reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / LETTERS_IN_LINE)), 0)
  return { w: WIDTH, h: Math.min(MOST_HEIGHT, Math.max(LEAST_HEIGHT, lines * LINE + AROUND)) }
}

/** What a definition says of how it is drawn. */
export function shownLayout(definition: unknown): {
  positions: FlowDocument['layout']['positions']
  notes: Note[]
} {
  const document = openDocument(definition)
  return { positions: document.layout.positions, notes: notesOf(document) }
}

/** The notes of a document; what is none is left out. */
export function notesOf({ layout }: FlowDocument): Note[] {
  const sent = listOf(layout.rest['notes'])
  const seen = new Set<string>()
  return sent.flatMap((each) => {
    const note = readNote(each)
    if (note === null || seen.has(note.id)) return []
    seen.add(note.id)
    return note
  })
}

function readNote(sent: unknown): Note | null {
  if (!isObject(sent)) return null
  const { id, x, y, text, color } = sent
  if (typeof id !== 'string' || id === '' || typeof text !== 'string') return null
  if (typeof x !== 'number' || typeof y !== 'number' || !Number.isFinite(x) || !Number.isFinite(y))
    return null
  const size = noteSize(text)
  return {
    id,
    x,
    y,
    text,
    w: lengthOf(sent['w'], size.w),
    h: lengthOf(sent['h'], size.h),
    color: NOTE_COLORS.find((each) => each === color) ?? 'yellow',
  }
}

/** What has no room to be read has the usual size. */
function lengthOf(sent: unknown, usual: number): number {
  return typeof sent === 'number' && sent >= LINE && sent <= MOST_LENGTH ? sent : usual
}

const MOST_LENGTH = 1_000
