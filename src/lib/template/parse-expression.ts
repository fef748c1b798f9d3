import { parsePath } from '#lib/json/path.ts'
import { exactNumber } from '#lib/json/raw-number.ts'
import {
  type Cursor,
  isNext,
  match,
  nextWord,
  shorten,
  skipSpace,
  syntax,
  SyntaxProblem,
  take,
} from './cursor.ts'
import { argumentFault } from './filters/filter.ts'
import { FILTERS } from './filters/index.ts'
import { unknownDirective } from './filters/format.ts'
import type { Expression, FilterCall, LiteralOperand, LocalOperand, Operand, PathOperand } from './syntax.ts'
import { isTemplateRoot, LOOP_POSITION, TEMPLATE_ROOTS } from './syntax.ts'
import { parseDuration } from '#lib/time.ts'

const MAX_FILTERS = 20
const MAX_SHIFTS = 5
/** The members of a loop's position. */
const POSITION_MEMBERS = ['index', 'index0', 'first', 'last', 'length']

const STRING = /"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'/sy
const NUMBER = /-?\d{1,100}(?:\.\d{1,100})?(?![\w.])/y
const WORD = /[^\s,:|{}"'`]+/y
/** Comparisons and the end of the tag need no space before them. */
const TAG_WORD = /(?:(?!-%\})[^\s,:|{}"'`=<>!%])+/y
const NAME = /[a-z_]+/y
const SHIFT = /([+-])\s*(\d+ ?[a-z]+|P[0-9A-Z]+)/iy
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' }
const WORDS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['null', null],
])

/** Reads what stands between `{{` and `}}`, with its end. */
export function parseExpression(cursor: Cursor): Expression {
  skipSpace(cursor)
  if (isNext(cursor, '}}')) {
    throw syntax('Write a path between {{ and }}, such as {{trigger.email}}; literal braces are {{ "{{" }}.')
  }
  if (isNext(cursor, '#') || isNext(cursor, '/')) {
    throw syntax('Write {% if test %} … {% endif %} or {% for line in list %} … {% endfor %}.')
  }
  const expression = parseValue(cursor)
  if (!take(cursor, '}}')) throw unexpected(cursor)
  return expression
}

/** A value with the duration that is added to it and its filters, wherever it ends. */
export function parseValue(cursor: Cursor): Expression {
  skipSpace(cursor)
  const from = cursor.at
  const operand = parseOperand(cursor)
  const shiftMs = parseShifts(cursor)
  const filters: FilterCall[] = []
  let end = cursor.at
  while (take(cursor, '|')) {
    if (filters.length === MAX_FILTERS) {
      throw new SyntaxProblem('template_too_large', `Use at most ${MAX_FILTERS} filters in one expression.`)
    }
    filters.push(parseFilter(cursor))
    end = cursor.at
  }
  const source = cursor.text.slice(from, end).trim()
  return { kind: 'expression', source, operand, shiftMs, filters }
}

function parseOperand(cursor: Cursor): Operand {
  skipSpace(cursor)
  const literal = parseLiteral(cursor)
  if (literal) return literal
  const word = match(cursor, cursor.isTag ? TAG_WORD : WORD)?.[0]
  if (word === undefined) throw unexpected(cursor)
  if (WORDS.has(word)) return { kind: 'literal', value: WORDS.get(word) }
  return toPath(word, cursor)
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

function toPath(text: string, { at, loops }: Cursor): PathOperand | LocalOperand {
  const path = parsePath(text)
  if (!path) {
    throw syntax(
      `"${shorten(text)}" is not a path: write names with dots and positions, as in trigger.items[0].sku.`,
    )
  }
  const [root, ...rest] = path
  const local = toLocal(text, root, rest, loops)
  if (local) return local
  if (!isTemplateRoot(root)) {
    const advice = /^[\w.]+[+-]/.test(text)
      ? 'put spaces around + and -'
      : `start with one of ${namesIn(loops)}, such as trigger.${shorten(text)}`
    throw new SyntaxProblem('unknown_root', `Nothing is called "${shorten(String(root))}": ${advice}.`)
  }
  if (root === 'steps' && (rest.length < 2 || typeof rest[0] !== 'string' || rest[1] !== 'output')) {
    throw syntax(`Write what a step gave as steps.<id>.output, not "${shorten(text)}".`)
  }
  if (root === 'now' && rest.length > 0) throw syntax('"now" is a time and has nothing below it.')
  return { kind: 'path', root, path: rest, text, at: at - text.length }
}

function toLocal(
  text: string,
  root: string | number | undefined,
  path: PathOperand['path'],
  loops: Cursor['loops'],
): LocalOperand | null {
  const loop = loops.findLast(({ name }) => name === root)
  if (loop !== undefined) {
    const { stands } = loop
    const through = stands && { ...stands, path: [...stands.path, 0, ...path], text }
    return { kind: 'local', name: loop.name, path, text, stands: through }
  }
  if (root !== LOOP_POSITION || loops.length === 0) return null
  if (path.length === 1 && POSITION_MEMBERS.includes(String(path[0]))) {
    return { kind: 'local', name: LOOP_POSITION, path, text, stands: null }
  }
  throw syntax(`"${LOOP_POSITION}" has ${POSITION_MEMBERS.join(', ')}.`)
}

function namesIn(loops: Cursor['loops']): string {
  return [...loops.map(({ name }) => name), ...TEMPLATE_ROOTS].join(', ')
}

function parseShifts(cursor: Cursor): number | null {
  let shiftMs: number | null = null
  for (let count = 0; ; count++) {
    skipSpace(cursor)
    if ((!isNext(cursor, '+') && !isNext(cursor, '-')) || isNext(cursor, '-%}')) return shiftMs
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

function unexpected(cursor: Cursor): SyntaxProblem {
  if (cursor.isTag) {
    if (!cursor.text.includes('%}', cursor.at)) return syntax('Close the tag with %}.')
    return syntax(`"${nextWord(cursor)}" cannot stand here: write a path, such as trigger.total.`)
  }
  if (!cursor.text.includes('}}', cursor.at)) return syntax('Close the expression with }}.')
  return syntax(`"${nextWord(cursor)}" cannot stand here: write {{ path | filter: argument }}.`)
}

function invalidArgument(message: string): SyntaxProblem {
  return new SyntaxProblem('invalid_filter_argument', message)
}
