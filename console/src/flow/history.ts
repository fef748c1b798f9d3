import type { Command, FlowDocument } from './document.ts'

/** A document with what it was before and what was undone. Selection is no part of it. */
export interface History {
  readonly present: FlowDocument
  /** Oldest first. */
  readonly past: readonly Entry[]
  /** What was undone last comes last. */
  readonly future: readonly Entry[]
}

interface Entry {
  /** Before the edit, of the past; after it, of the future. */
  readonly document: FlowDocument
  readonly label: string
  /** Edits of one key that follow one another closely are one edit. */
  readonly key: string | null
  readonly at: number
}

export interface Edit {
  /** What was done, for people. */
  label: string
  /** Such as the field that is typed in; left out: the edit stands alone. */
  key?: string
  /** Milliseconds. */
  now: number
}

const MAX_ENTRIES = 200
const MERGE_MS = 800

export function createHistory(document: FlowDocument): History {
  return { present: document, past: [], future: [] }
}

/** Does a command. One that changes nothing is none. */
export function apply(history: History, command: Command, { label, key, now }: Edit): History {
  const { present, past } = history
  const document = command(present)
  if (document === present) return history
  const last = past.at(-1)
  const isSame = last !== undefined && key !== undefined && last.key === key
  if (isSame && history.future.length === 0 && now - last.at <= MERGE_MS) {
    return { present: document, past: past.with(-1, { ...last, label, at: now }), future: [] }
  }
  const entry = { document: present, label, key: key ?? null, at: now }
  return { present: document, past: [...past, entry].slice(-MAX_ENTRIES), future: [] }
}

/** Goes back by one edit. It is not merged with any more. */
export function undo(history: History): History {
  const last = history.past.at(-1)
  if (last === undefined) return history
  const undone = { ...last, document: history.present, key: null }
  return { present: last.document, past: history.past.slice(0, -1), future: [...history.future, undone] }
}

export function redo(history: History): History {
  const next = history.future.at(-1)
  if (next === undefined) return history
  const done = { ...next, document: history.present, key: null }
  return { present: next.document, past: [...history.past, done], future: history.future.slice(0, -1) }
}

/** Changes a document wherever it stands, as if it had always been so: there is nothing to undo. */
export function amend({ present, past, future }: History, command: Command): History {
  const amended = (entry: Entry): Entry => ({ ...entry, document: command(entry.document) })
  return { present: command(present), past: past.map(amended), future: future.map(amended) }
}

/** What undoing would undo; null: there is nothing. */
export function undoLabel({ past }: History): string | null {
  return past.at(-1)?.label ?? null
}

export function redoLabel({ future }: History): string | null {
  return future.at(-1)?.label ?? null
}
