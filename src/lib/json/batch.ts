import { Buffer, isUtf8 } from 'node:buffer'
import { JsonInputError, toPointer } from './error.ts'
import { endOfString } from './scan.ts'
import { keepSources, type SourceNames } from './source.ts'
import { MAX_DEPTH, parseJson } from './index.ts'

/** The places of a list and its items in a text, as offsets. */
interface ListSpan {
  start: number
  end: number
  items: { start: number; end: number }[]
}

export interface BatchShape {
  /** The member that holds the list, unless the body is the list. Null: the body is one item, whatever it is. */
  list: string | null
  /** Beyond that many the items are not told apart. */
  maxItems: number
  /** Members of items, or of a body that is no list, of which it is kept how they were written (source.ts). */
  members: readonly string[]
}

/**
 * Reads a body that is a list, or an object with a list in a member. A fault inside one item takes that item's place
 * in the list as a JsonInputError, its pointer beginning with the item's; the others are read.
 *
 * @throws JsonInputError for a fault outside the items, and for a body that is no such list
 */
export function parseJsonBatch(buffer: Buffer, { list: listName, maxItems, members }: BatchShape): unknown {
  const names = { list: listName ?? '', members }
  try {
    const value = parseJson(buffer)
    keepSources(buffer.toString(), value, names)
    return value
  } catch (error) {
    // Every byte is one character, so that offsets are the buffer's; the marks of JSON are ASCII and never inside others.
    const text = buffer.toString('latin1')
    const span = findList(text, listName, maxItems)
    if (!(error instanceof JsonInputError) || span === null) throw error
    const { base, maxDepth, withItems } = parseEnvelope(buffer, text, span, listName)
    return withItems(
      span.items.map(({ start, end }, index) =>
        parseItem(buffer.subarray(start, end), toPointer([...base, index]), maxDepth, names),
      ),
    )
  }
}

/**
 * Reads what stands around a list.
 * @param text the buffer's bytes, one character each
 * @returns `base`: the path of the list; `maxDepth`: of an item; `withItems` puts the items in their place
 */
function parseEnvelope(buffer: Buffer, text: string, span: ListSpan, listName: string | null) {
  const envelope = parseJson(
    Buffer.concat([buffer.subarray(0, span.start), Buffer.from('[]'), buffer.subarray(span.end)]),
  )
  const name = text.slice(0, span.start).trim() === '' ? null : listName
  const base = name === null ? [] : [name]
  return {
    base,
    maxDepth: MAX_DEPTH - base.length - 1,
    withItems: (items: unknown[]): unknown =>
      name === null ? items : { ...(envelope as Record<string, unknown>), [name]: items },
  }
}

function parseItem(bytes: Buffer, base: string, maxDepth: number, names: SourceNames): unknown {
  try {
    const item = parseJson(bytes, { maxDepth })
    keepSources(bytes.toString(), item, names)
    return item
  } catch (error) {
    if (!(error instanceof JsonInputError)) throw error
    return new JsonInputError(error.code, base + (error.pointer ?? ''), error.detail, { cause: error })
  }
}

/** Characters between two pauses of the search for a list: some 1 ms. */
const PAUSE_CHARS = 64 * 1024
const LINE_BREAKS = /\n[ \t\r\n]*/g

export interface InTurns {
  /** Bytes that an item, a text without such a list, and what stands beside the list may have, without line breaks. */
  maxBytes: number
  /** Asked between two pieces of work. Null: go on at once; else when to. */
  turn: () => Promise<void> | null
}

/**
 * Reads a long body as `parseJsonBatch` does, piece by piece: a batch of 8 MiB takes 100 ms, and one made to take long 0.7 s.
 * What has more bytes than it may is not read at all: an item is a JsonInputError in its place, `too_large`. A list
 * of too many items has none of them.
 *
 * @throws JsonInputError as `parseJsonBatch`, and `too_large` for a text without a list
 */
export async function parseJsonBatchInTurns(
  buffer: Buffer,
  { list: listName, maxItems, members }: BatchShape,
  { maxBytes, turn }: InTurns,
): Promise<unknown> {
  const names = { list: listName ?? '', members }
  if (!isUtf8(buffer)) throw new JsonInputError('invalid_utf8', null, 'Send the body as UTF-8.')
  const text = buffer.toString('latin1')
  const search = searchList(text, listName, maxItems)
  let step = search.next()
  while (step.done !== true) {
    await turn()
    step = search.next()
  }
  const span = step.value
  await turn()
  if (span === null) {
    if (isOver(text, maxBytes)) throw tooLarge('')
    return parseJsonBatch(buffer, { list: listName, maxItems, members })
  }
  const beside = text.slice(0, span.start) + text.slice(span.end)
  if (isOver(beside, maxBytes)) throw tooLarge('')
  const { base, maxDepth, withItems } = parseEnvelope(buffer, text, span, listName)
  const items: unknown[] = []
  // Beyond the limit only their number counts.
  if (span.items.length > maxItems) items.length = span.items.length
  else {
    for (const [index, { start, end }] of span.items.entries()) {
      await turn()
      const pointer = toPointer([...base, index])
      items.push(
        end - start > maxBytes && isOver(text.slice(start, end), maxBytes)
          ? tooLarge(pointer)
          : parseItem(buffer.subarray(start, end), pointer, maxDepth, names),
      )
    }
  }
  return withItems(items)
}

function isOver(text: string, maxBytes: number): boolean {
  return text.length > maxBytes && text.replaceAll(LINE_BREAKS, '').length > maxBytes
}

function tooLarge(pointer: string): JsonInputError {
  return new JsonInputError('too_large', pointer, 'Send less at a time.')
}

/** The list that is the text, or the value of the root's member; null: there is none, or it never ends. */
function findList(text: string, listName: string | null, maxItems: number): ListSpan | null {
  const search = searchList(text, listName, maxItems)
  let step = search.next()
  while (step.done !== true) step = search.next()
  return step.value !== null && step.value.items.length > maxItems ? null : step.value
}

const QUOTE = 34
const COMMA = 44
const OPEN_LIST = 91
const CLOSE_LIST = 93
const OPEN_OBJECT = 123
const CLOSE_OBJECT = 125

/** Finds a list as `findList` does, with pauses; one with too many items as far as those are too many. */
function* searchList(
  text: string,
  listName: string | null,
  maxItems: number,
): Generator<undefined, ListSpan | null> {
  if (listName === null) return null
  const name = JSON.stringify(listName)
  let listDepth = -1
  let depth = 0
  let at = 0
  let isNamed = false
  let span: ListSpan | null = null
  let itemStart = 0
  let pauseAt = PAUSE_CHARS
  const endItem = (end: number): void => {
    const isEmpty = text.slice(itemStart, end).trim() === ''
    if (span !== null && !(isEmpty && span.items.length === 0)) span.items.push({ start: itemStart, end })
  }
  while (at < text.length) {
    if (at >= pauseAt) {
      pauseAt = at + PAUSE_CHARS
      yield undefined
    }
    const char = text.charCodeAt(at)
    if (char === QUOTE) {
      const end = endOfString(text, at)
      if (end === 0) return null
      if (depth === 1 && span === null) isNamed = text.slice(at, end) === name
      at = end
      continue
    }
    if (char === OPEN_LIST || char === OPEN_OBJECT) {
      depth++
      const isList = char === OPEN_LIST && span === null && (depth === 1 || (depth === 2 && isNamed))
      if (isList) {
        span = { start: at, end: 0, items: [] }
        listDepth = depth
        itemStart = at + 1
      }
    } else if (char === CLOSE_LIST || char === CLOSE_OBJECT) {
      if (span !== null && span.end === 0 && depth === listDepth) {
        if (char !== CLOSE_LIST) return null
        endItem(at)
        span.end = at + 1
      }
      depth--
      if (depth < 0) return null
    } else if (char === COMMA) {
      if (span !== null && span.end === 0 && depth === listDepth) {
        endItem(at)
        itemStart = at + 1
        if (span.items.length > maxItems) return { ...span, end: text.lastIndexOf(']') + 1 }
      } else if (depth === 1) isNamed = false
    }
    at++
  }
  return depth === 0 && span !== null && span.end > 0 ? span : null
}
