import type { ForBlock, PathOperand, TemplateProblemCode } from './syntax.ts'

/**
 * A loop around the place that is being read: its name, and the path that the name stands for if the list is a path.
 */
export interface Loop {
  readonly name: ForBlock['name']
  readonly stands: PathOperand | null
}

export interface Cursor {
  readonly text: string
  at: number
  /** Of the loops around it, the innermost last. */
  readonly loops: readonly Loop[]
  /** In a tag, where comparisons stand beside paths. */
  readonly isTag: boolean
}

export class SyntaxProblem extends Error {
  readonly code: TemplateProblemCode

  constructor(code: TemplateProblemCode, message: string) {
    super(message)
    this.code = code
  }
}

const SPACE = /\s*/y
const MAX_SHOWN_CHARS = 60

export function skipSpace(cursor: Cursor): void {
  match(cursor, SPACE)
}

export function isNext(cursor: Cursor, token: string): boolean {
  return cursor.text.startsWith(token, cursor.at)
}

export function take(cursor: Cursor, token: string): boolean {
  skipSpace(cursor)
  if (!isNext(cursor, token)) return false
  cursor.at += token.length
  return true
}

export function match(cursor: Cursor, pattern: RegExp): RegExpExecArray | null {
  pattern.lastIndex = cursor.at
  const found = pattern.exec(cursor.text)
  if (found) cursor.at = pattern.lastIndex
  return found
}

export function syntax(message: string): SyntaxProblem {
  return new SyntaxProblem('template_syntax', message)
}

export function shorten(text: string): string {
  return text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}…` : text
}

/** Returns what stands next, as far as a message shows it. */
export function nextWord({ text, at }: Cursor): string {
  const rest = text.slice(at, at + MAX_SHOWN_CHARS)
  return rest.slice(0, Math.max(rest.search(/[\s}]/), 1))
}
