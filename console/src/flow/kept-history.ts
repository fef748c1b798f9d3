import type { FlowDocument } from './document.ts'
import { isObject } from './graph.ts'
import { createHistory, type History } from './history.ts'

/** A history as it outlives a reload of the page. */
interface KeptHistory {
  /** The draft that it belongs to. */
  present: string
  past: readonly KeptEntry[]
  future: readonly KeptEntry[]
}

type KeptEntry = Pick<History['past'][number], 'document' | 'label'>

const MAX_ENTRIES = 50
/** Browsers keep some millions of letters for a site. Of a large flow there are fewer edits. */
const MAX_LETTERS = 1_000_000

export function packHistory({ present, past, future }: History): KeptHistory {
  return { present: textOf(present), past: newest(past), future: newest(future) }
}

/** Null: none was kept, it cannot be read, or the draft has been changed elsewhere since. */
export function unpackHistory(kept: unknown, present: FlowDocument): History | null {
  if (!isObject(kept) || kept['present'] !== textOf(present)) return null
  const [past, future] = [entriesIn(kept['past']), entriesIn(kept['future'])]
  return past === null || future === null ? null : { ...createHistory(present), past, future }
}

/** What is nearest to the present comes last. */
function newest(entries: History['past']): KeptEntry[] {
  const kept: KeptEntry[] = []
  let letters = 0
  for (const { document, label } of entries.slice(-MAX_ENTRIES).toReversed()) {
    letters += JSON.stringify(document).length
    if (letters > MAX_LETTERS) break
    kept.unshift({ document, label })
  }
  return kept
}

function entriesIn(value: unknown): History['past'] | null {
  if (!Array.isArray(value)) return null
  const entries = (value as unknown[]).flatMap((entry) => {
    if (!isObject(entry) || typeof entry['label'] !== 'string' || !isDocument(entry['document'])) return []
    return { document: entry['document'], label: entry['label'], key: null, at: 0 }
  })
  return entries.length === value.length ? entries : null
}

function isDocument(value: unknown): value is FlowDocument {
  if (!isObject(value) || !isObject(value['definition']) || !isObject(value['layout'])) return false
  return isObject(value['layout']['positions']) && isObject(value['layout']['rest'])
}

/** The same for documents that say the same: the service may give members in another order. */
function textOf(document: FlowDocument): string {
  return JSON.stringify(document, (_, value: unknown) => {
    // A number that is kept as it was written is no object of members.
    if (!isObject(value) || 'rawJSON' in value) return value
    return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
  })
}
