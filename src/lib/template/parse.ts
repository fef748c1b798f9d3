import { type Cursor, type Loop, SyntaxProblem } from './cursor.ts'
import { parseExpression } from './parse-expression.ts'
import { closeTag, parseFor, parseTagName, parseTests, type Tag } from './parse-tag.ts'
import type {
  Branch,
  Expression,
  ForBlock,
  IfBlock,
  PathOperand,
  Template,
  TemplatePart,
  TemplateProblem,
} from './syntax.ts'

/** The longest text that a rendering may make; a longer template could not be rendered either. */
const MAX_TEMPLATE_CHARS = 256 * 1024
const MAX_EXPRESSIONS = 1000
const MAX_PROBLEMS = 20
const MAX_DEPTH = 10

const OPENING = /\{[{%]/g
/** The rest of the line behind a tag that stands alone on it. */
const REST_OF_LINE = /[ \t]*(?:\r?\n|$)/y
const WHITE_SPACE = /\s*/y

/** Filters whose list has the items of the one that they get. */
const KEEPS_ITEMS = new Set(['where', 'sort', 'uniq', 'reverse', 'slice'])

/** A block that is open, or the text itself. */
interface Frame {
  readonly at: number
  readonly tag: 'for' | 'if' | null
  /** The list to which the next parts are added. */
  parts: TemplatePart[]
  /** Null of a `for` that could not be read: its names are unknown, and so is what is wrong with its body. */
  loop: (Loop & { list: Expression; body: TemplatePart[] }) | null
  readonly branches: Branch[]
  hasElse: boolean
}

class Parser {
  readonly #text: string
  readonly #frames: Frame[] = [openFrame(0, null)]
  readonly #problems: TemplateProblem[] = []
  #from = 0
  /** Of the blocks that are open, whose names mean something here. */
  #loops: readonly Loop[] = []

  constructor(text: string) {
    this.#text = text
  }

  parse(): { template: Template } | { problems: TemplateProblem[] } {
    let expressions = 0
    OPENING.lastIndex = 0
    for (let open = OPENING.exec(this.#text); open !== null; open = OPENING.exec(this.#text)) {
      if (++expressions > MAX_EXPRESSIONS) {
        this.#problems.push(tooLarge(`Use at most ${MAX_EXPRESSIONS} expressions and tags in one text.`))
        break
      }
      const isTag = open[0] === '{%'
      if (!this.#read(open.index, isTag)) break
      OPENING.lastIndex = this.#from
    }
    const frame = this.#frames.at(-1)
    if (frame !== undefined && frame.tag !== null && this.#problems.length === 0) {
      const message = `Close this with {% end${frame.tag} %}.`
      this.#problems.push({ code: 'template_syntax', message, at: frame.at })
    }
    if (this.#problems.length > 0) return { problems: this.#problems }
    const { parts } = this.#top
    if (this.#from < this.#text.length || parts.length === 0) parts.push(this.#text.slice(this.#from))
    return { template: { source: this.#text, parts } }
  }

  get #top(): Frame {
    return this.#frames.at(-1) as Frame
  }

  /** @returns whether there is more to read */
  #read(open: number, isTag: boolean): boolean {
    const cursor: Cursor = { text: this.#text, at: open + 2, loops: this.#loops, isTag }
    try {
      if (isTag) this.#readTag(cursor, open)
      else {
        this.#pushText(open)
        this.#top.parts.push(parseExpression(cursor))
        this.#from = cursor.at
      }
      return true
    } catch (error) {
      if (!(error instanceof SyntaxProblem)) throw error
      // The names of a loop that cannot be read are not known.
      const isBroken = this.#frames.some(({ tag, loop }) => tag === 'for' && loop === null)
      if (error.code !== 'unknown_root' || !isBroken) {
        this.#problems.push({ code: error.code, message: error.message, at: open })
      }
      const close = this.#text.indexOf(isTag ? '%}' : '}}', cursor.at)
      if (close === -1 || this.#problems.length === MAX_PROBLEMS) return false
      this.#from = close + 2
      return true
    }
  }

  #readTag(cursor: Cursor, open: number): void {
    const trims = this.#text[cursor.at] === '-'
    if (trims) cursor.at++
    const tag = parseTagName(cursor)
    const read = this.#startOf(tag, cursor, open)
    const { trims: trimsAfter } = closeTag(cursor, tag)
    const isAlone = !trims && !trimsAfter && this.#isAlone(open, cursor.at)
    this.#pushText(open, trims ? 'white space' : isAlone ? 'blanks' : null)
    read()
    this.#loops = this.#frames.flatMap(({ loop, hasElse }) => (loop === null || hasElse ? [] : [loop]))
    this.#from = cursor.at
    const after = trimsAfter ? WHITE_SPACE : isAlone ? REST_OF_LINE : null
    if (after === null) return
    after.lastIndex = cursor.at
    if (after.test(this.#text)) this.#from = after.lastIndex
  }

  /** Reads what the tag says. @returns a function that changes the open blocks, once its text is there */
  #startOf(tag: Tag, cursor: Cursor, open: number): () => void {
    switch (tag) {
      case 'for':
      case 'if':
        return this.#startBlock(tag, cursor, open)
      case 'elsif': {
        const frame = this.#expect('if', tag)
        const anyOf = parseTests(cursor)
        return () => nextBranch(frame, anyOf)
      }
      case 'else': {
        const frame = this.#expect(null, tag)
        return () => {
          if (frame.tag === 'if') nextBranch(frame, null)
          else frame.parts = []
          frame.hasElse = true
        }
      }
      case 'endif':
      case 'endfor': {
        const frame = this.#expect(tag === 'endif' ? 'if' : 'for', tag)
        return () => {
          this.#frames.pop()
          const block = blockOf(frame)
          if (block !== null) this.#top.parts.push(block)
        }
      }
    }
  }

  #startBlock(tag: 'for' | 'if', cursor: Cursor, open: number): () => void {
    if (this.#frames.length > MAX_DEPTH) {
      throw new SyntaxProblem('template_too_large', `Put at most ${MAX_DEPTH} blocks in one another.`)
    }
    const frame = openFrame(open, tag)
    try {
      if (tag === 'if') frame.branches.push({ anyOf: parseTests(cursor), body: frame.parts })
      else {
        const { name, list } = parseFor(cursor)
        frame.loop = { name, list, stands: pathOf(list), body: frame.parts }
      }
    } catch (error) {
      // Its end is no problem of its own.
      this.#frames.push(frame)
      throw error
    }
    return () => this.#frames.push(frame)
  }

  /** The block that the tag belongs to. */
  #expect(wanted: 'for' | 'if' | null, tag: Tag): Frame {
    const frame = this.#top
    const isOpen = wanted === null ? frame.tag !== null : frame.tag === wanted
    if (!isOpen) {
      const advice =
        frame.tag === null
          ? `open a block first, by {% ${wanted ?? 'if'} … %}`
          : `close the {% ${frame.tag} %} before it with {% end${frame.tag} %}`
      throw new SyntaxProblem('template_syntax', `Nothing is open that "${tag}" belongs to: ${advice}.`)
    }
    if (frame.hasElse && (tag === 'else' || tag === 'elsif')) {
      throw new SyntaxProblem('template_syntax', `"${tag}" stands behind an else already.`)
    }
    return frame
  }

  #pushText(to: number, dropped: 'white space' | 'blanks' | null = null): void {
    const text = this.#text.slice(this.#from, to)
    const kept = dropped === null ? text : dropped === 'blanks' ? withoutBlanks(text) : text.trimEnd()
    if (kept !== '') this.#top.parts.push(kept)
  }

  /** Tells whether a tag stands alone on its line, but for blanks. */
  #isAlone(open: number, close: number): boolean {
    let from = open
    while (from > 0 && (this.#text[from - 1] === ' ' || this.#text[from - 1] === '\t')) from--
    if (from > 0 && this.#text[from - 1] !== '\n') return false
    REST_OF_LINE.lastIndex = close
    return REST_OF_LINE.test(this.#text)
  }
}

/**
 * Compiles one text in time linear in its length; at most 20 problems. Text without expressions and tags is a template,
 * too.
 */
export function parseTemplate(text: string): { template: Template } | { problems: TemplateProblem[] } {
  if (text.length > MAX_TEMPLATE_CHARS) {
    return { problems: [tooLarge(`Shorten the text to ${MAX_TEMPLATE_CHARS} characters.`)] }
  }
  return new Parser(text).parse()
}

function openFrame(at: number, tag: Frame['tag']): Frame {
  return { at, tag, parts: [], loop: null, branches: [], hasElse: false }
}

function nextBranch(frame: Frame, anyOf: Branch['anyOf']): void {
  frame.parts = []
  frame.branches.push({ anyOf, body: frame.parts })
}

function blockOf({ tag, loop, branches, hasElse, parts }: Frame): ForBlock | IfBlock | null {
  if (tag === 'if') return { kind: 'if', branches }
  if (loop === null) return null
  const { name, list, body } = loop
  return { kind: 'for', name, list, body, otherwise: hasElse ? parts : null }
}

/** Returns where the items of the list come from, if that is a path. */
function pathOf({ operand, filters }: Expression): PathOperand | null {
  if (filters.some(({ filter }) => !KEEPS_ITEMS.has(filter.name)) || operand.kind === 'literal') return null
  return operand.kind === 'path' ? operand : operand.stands
}

/** A pattern would look for the end from every blank on. */
function withoutBlanks(text: string): string {
  let end = text.length
  while (end > 0 && (text[end - 1] === ' ' || text[end - 1] === '\t')) end--
  return text.slice(0, end)
}

function tooLarge(message: string): TemplateProblem {
  return { code: 'template_too_large', message, at: 0 }
}
