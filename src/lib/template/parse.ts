import { parsePath } from '#lib/json/path.ts'
import { exactNumber } from '#lib/json/raw-number.ts'
import { argumentFault } from './filters/filter.ts'
import { FILTERS } from './filters/index.ts'
import { unknownDirective } from './filters/format.ts'
import type {
  Expression,
  FilterCall,
  LiteralOperand,
  Operand,
  PathOperand,
  Template,
  TemplateProblem,
  TemplateProblemCode,
} from './syntax.ts'
import { isTemplateRoot, TEMPLATE_ROOTS } from './syntax.ts'
import { parseDuration } from '#lib/time.ts'

/** What a rendering may make at most; a longer text could not be rendered either. */
const MAX_TEMPLATE_CHARS = 256 * 1024
const MAX_EXPRESSIONS = 1000
const MAX_FILTERS = 20
const MAX_SHIFTS = 5
const MAX_PROBLEMS = 20
const MAX_SHOWN_CHARS = 60

const SPACE = /\s*/y
const STRING = /"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'/sy
const NUMBER = /-?\d{1,100}(?:\.\d{1,100})?(?![\w.])/y
const WORD = /[^\s,:|{}"'`]+/y
const NAME = /[a-z_]+/y
const SHIFT = /([+-])\s*(\d+ ?[a-z]+|P[0-9A-Z]+)/iy
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' }
const WORDS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['null', null],
])

class SyntaxProblem extends Error {
  readonly code: TemplateProblemCode

  constructor(code: TemplateProblemCode, message: string) {
    super(message)
    this.code = code
  }
}

interface Cursor {
  readonly text: string
  at: number
}

/** Compiles one text in time linear in its length; at most 20 problems. Text without `{{` is a template, too. */
export function parseTemplate(text: string): { template: Template } | { problems: TemplateProblem[] } {
  const problems: TemplateProblem[] = []
  if (text.length > MAX_TEMPLATE_CHARS) {
    return { problems: [tooLarge(`Shorten the text to ${MAX_TEMPLATE_CHARS} characters.`)] }
  }
  const parts: (string | Expression)[] = []
  let expressions = 0
  let from = 0
  for (let open = text.indexOf('{{'); open !== -1; open = text.indexOf('{{', from)) {
    if (open > from) parts.push(text.slice(from, open))
    if (++expressions > MAX_EXPRESSIONS) {
      problems.push(tooLarge(`Use at most ${MAX_EXPRESSIONS} expressions in one text.`))
      break
    }
    const cursor: Cursor = { text, at: open + 2 }
    try {
      parts.push(parseExpression(cursor))
      from = cursor.at
    } catch (error) {
      if (!(error instanceof SyntaxProblem)) throw error
      problems.push({ code: error.code, message: error.message, at: open })
      const close = text.indexOf('}}', cursor.at)
      if (close === -1 || problems.length === MAX_PROBLEMS) break
      from = close + 2
    }
  }
  if (problems.length > 0) return { problems }
  if (from < text.length || parts.length === 0) parts.push(text.slice(from))
  return { template: { source: text, parts } }
}

function parseExpression(cursor: Cursor): Expression {
  const from = cursor.at
  skipSpace(cursor)
  if (isNext(cursor, '}}')) {
    throw syntax('Write a path between {{ and }}, such as {{trigger.email}}; literal braces are {{ "{{" }}.')
  }
  const operand = parseOperand(cursor)
  const shiftMs = parseShifts(cursor)
  const filters: FilterCall[] = []
  while (take(cursor, '|')) {
    if (filters.length === MAX_FILTERS) {
      throw new SyntaxProblem('template_too_large', `Use at most ${MAX_FILTERS} filters in one expression.`)
    }
    filters.push(parseFilter(cursor))
  }
  const end = cursor.at
  if (!take(cursor, '}}')) throw unexpected(cursor)
  return { source: cursor.text.slice(from, end).trim(), operand, shiftMs, filters }
}

function parseOperand(cursor: Cursor): Operand {
  skipSpace(cursor)
  const literal = parseLiteral(cursor)
  if (literal) return literal
  const word = match(cursor, WORD)?.[0]
  if (word === undefined) throw unexpected(cursor)
  if (WORDS.has(word)) return { kind: 'literal', value: WORDS.get(word) }
  return toPath(word)
}

function parseLiteral(cursor: Cursor): LiteralOperand | null {
  const quoted = match(cursor, STRING)
  if (quoted) {
    const content = quoted[1] ?? quoted[2] ?? ''
    return {
      kind: 'literal',
      value: content.replace(/\\(.)/gs, (_, char: string) => ESCAPES[char] ?? char),
    }
  }
  const number = match(cursor, NUMBER)?.[0]
  // JSON, which raw numbers are written as, has no leading zeros.
  return number === undefined
    ? null
    : { kind: 'literal', value: exactNumber(number.replace(/^(-?)0+(?=\d)/, '$1')) }
}

function toPath(text: string): PathOperand {
  const path = parsePath(text)
  if (!path) {
    throw syntax(
      `"${shorten(text)}" is not a path: write names with dots and positions, as in trigger.items[0].sku.`,
    )
  }
  const [root, ...rest] = path
  if (!isTemplateRoot(root)) {
    const advice = /^[\w.]+[+-]/.test(text)
      ? 'put spaces around + and -'
      : `start with one of ${TEMPLATE_ROOTS.join(', ')}, such as trigger.${shorten(text)}`
    throw new SyntaxProblem('unknown_root', `Nothing is called "${shorten(String(root))}": ${advice}.`)
  }
  if (root === 'steps' && (rest.length < 2 || typeof rest[0] !== 'string' || rest[1] !== 'output')) {
    throw syntax(`Write what a step gave as steps.<id>.output, not "${shorten(text)}".`)
  }
  if (root === 'now' && rest.length > 0) throw syntax('"now" is a time and has nothing below it.')
  return { kind: 'path', root, path: rest, text }
}

function parseShifts(cursor: Cursor): number | null {
  let shiftMs: number | null = null
  for (let count = 0; ; count++) {
    skipSpace(cursor)
    if (!isNext(cursor, '+') && !isNext(cursor, '-')) return shiftMs
    const [, sign, duration = ''] = match(cursor, SHIFT) ?? []
    const ms = parseDuration(duration)
    if (ms === null) {
      throw syntax(
        'After + and - stands a duration of at most 366 days, such as 3 days or PT72H; numbers use the filters plus and minus.',
      )
    }
    if (count === MAX_SHIFTS) throw syntax(`Add or subtract at most ${MAX_SHIFTS} durations.`)
    shiftMs = (shiftMs ?? 0) + (sign === '-' ? -ms : ms)
  }
}

function parseFilter(cursor: Cursor): FilterCall {
  skipSpace(cursor)
  const name = match(cursor, NAME)?.[0] ?? match(cursor, WORD)?.[0] ?? ''
  const filter = FILTERS.get(name)
  if (!filter) {
    if (name === '') throw syntax('After | stands the name of a filter.')
    const known = [...FILTERS.keys()].join(', ')
    throw new SyntaxProblem('unknown_filter', `There is no filter "${shorten(name)}": use one of ${known}.`)
  }
  const args: Operand[] = []
  let hasMore = take(cursor, ':')
  while (hasMore && args.length < filter.args.length) {
    args.push(parseOperand(cursor))
    hasMore = take(cursor, ',')
  }
  checkArguments({ filter, args }, hasMore)
  return { filter, args }
}

function checkArguments({ filter, args }: FilterCall, hasMore: boolean): void {
  const needed = filter.args.filter((argument) => !argument.optional).length
  if (args.length < needed || hasMore) {
    const wanted = filter.args
      .map(({ name, optional }) => (optional ? `${name} (optional)` : name))
      .join(', ')
    throw invalidArgument(`"${filter.name}" takes ${wanted === '' ? 'nothing' : wanted}.`)
  }
  for (const [index, argument] of filter.args.entries()) {
    const given = args[index]
    if (given?.kind !== 'literal') continue
    const expected = argumentFault(argument, given.value)
    if (expected !== null) {
      throw invalidArgument(`"${filter.name}" needs ${expected} as its ${argument.name}.`)
    }
    const unknown = argument.type === 'format' ? unknownDirective(String(given.value)) : null
    if (unknown !== null) throw invalidArgument(`"${unknown}" is no part of a date format.`)
  }
}

function skipSpace(cursor: Cursor): void {
  match(cursor, SPACE)
}

function isNext(cursor: Cursor, token: string): boolean {
  return cursor.text.startsWith(token, cursor.at)
}

function take(cursor: Cursor, token: string): boolean {
  skipSpace(cursor)
  if (!isNext(cursor, token)) return false
  cursor.at += token.length
  return true
}

function match(cursor: Cursor, pattern: RegExp): RegExpExecArray | null {
  pattern.lastIndex = cursor.at
  const found = pattern.exec(cursor.text)
  if (found) cursor.at = pattern.lastIndex
  return found
}

function unexpected(cursor: Cursor): SyntaxProblem {
  const rest = cursor.text.slice(cursor.at, cursor.at + MAX_SHOWN_CHARS)
  if (!cursor.text.includes('}}', cursor.at)) return syntax('Close the expression with }}.')
  const next = rest.slice(0, Math.max(rest.search(/[\s}]/), 1))
  return syntax(`"${next}" cannot stand here: write {{ path | filter: argument }}.`)
}

function syntax(message: string): SyntaxProblem {
  return new SyntaxProblem('template_syntax', message)
}

function invalidArgument(message: string): SyntaxProblem {
  return new SyntaxProblem('invalid_filter_argument', message)
}

function tooLarge(message: string): TemplateProblem {
  return { code: 'template_too_large', message, at: 0 }
}

function shorten(text: string): string {
  return text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}…` : text
}
