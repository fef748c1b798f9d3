import { Buffer } from 'node:buffer'
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
  /** The member that holds the list, unless the body is the list. */
  list: string
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
  const names = { list: listName, members }
  try {
    const value = parseJson(buffer)
    keepSources(buffer.toString(), value, names)
    return value
  } catch (error) {
    // Every byte is one character, so that offsets are the buffer's; the marks of JSON are ASCII and never inside others.
    const text = buffer.toString('latin1')
    const span = findList(text, listName, maxItems)
    if (!(error instanceof JsonInputError) || span === null) throw error
    const isRoot = text.slice(0, span.start).trim() === ''
    const envelope = parseJson(
      Buffer.concat([buffer.subarray(0, span.start), Buffer.from('[]'), buffer.subarray(span.end)]),
    )
    const base = isRoot ? [] : [listName]
    const maxDepth = MAX_DEPTH - base.length - 1
    const items = span.items.map(({ start, end }, index) =>
      parseItem(buffer.subarray(start, end), toPointer([...base, index]), maxDepth, names),
    )
    return isRoot ? items : { ...(envelope as Record<string, unknown>), [listName]: items }
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

/** The list that is the text, or the value of the root's member; null: there is none, or it never ends. */
function findList(text: string, listName: string, maxItems: number): ListSpan | null {
  const name = JSON.stringify(listName)
  let listDepth = -1
  let depth = 0
  let at = 0
  let isNamed = false
  let span: ListSpan | null = null
  let itemStart = 0
  const endItem = (end: number): void => {
    const isEmpty = text.slice(itemStart, end).trim() === ''
    if (span !== null && !(isEmpty && span.items.length === 0)) span.items.push({ start: itemStart, end })
  }
  while (at < text.length) {
    const char = text[at]
    if (char === '"') {
      const end = endOfString(text, at)
      if (end === 0) return null
      if (depth === 1 && span === null) isNamed = text.slice(at, end) === name
      at = end
      continue
    }
    if (char === '[' || char === '{') {
      depth++
      const isList = char === '[' && span === null && (depth === 1 || (depth === 2 && isNamed))
      if (isList) {
        span = { start: at, end: 0, items: [] }
        listDepth = depth
        itemStart = at + 1
      }
    } else if (char === ']' || char === '}') {
      if (span !== null && span.end === 0 && depth === listDepth) {
        if (char !== ']') return null
        endItem(at)
        span.end = at + 1
      }
      depth--
      if (depth < 0) return null
    } else if (char === ',') {
      if (span !== null && span.end === 0 && depth === listDepth) {
        endItem(at)
        itemStart = at + 1
        if (span.items.length > maxItems) return null
      } else if (depth === 1) isNamed = false
    }
    at++
  }
  return depth === 0 && span !== null && span.end > 0 ? span : null
}
