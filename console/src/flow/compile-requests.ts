import type { CatalogueFacts } from '../../../src/lib/flow/index.ts'
import type { CompileAnswer, CompileRequest } from './compiler.ts'
import type { Members } from './graph.ts'

/** Who types waits for the next letter. */
const TYPING_MS = 80

/** What asking needs of its surroundings. */
export interface Surroundings {
  post(request: CompileRequest): void
  /** Calls back after a while, or not if what it returns is called before. */
  later(call: () => void, ms: number): () => void
}

/** Asks the worker for what was edited last, and tells which answers still count. */
export class CompileRequests {
  readonly #around: Surroundings
  #rev = 0
  #step: string | null = null
  #waiting: Members | null = null
  /** What was asked last, for a worker that has not heard of it. */
  #told: Pick<CompileRequest, 'facts' | 'text'> = {}
  #isNew = false
  #cancel: (() => void) | null = null

  constructor(around: Surroundings) {
    this.#around = around
  }

  setFacts(facts: CatalogueFacts): void {
    this.#post({ facts: JSON.stringify(facts) })
  }

  /** @param isTyping more may follow at once: it is asked for a moment later */
  compile(definition: Members, isTyping: boolean): void {
    this.#cancel?.()
    this.#cancel = null
    this.#waiting = definition
    if (isTyping) this.#cancel = this.#around.later(() => this.#send(), TYPING_MS)
    else this.#send()
  }

  /** Wants to know what a step may read. */
  select(step: string | null): void {
    if (this.#step === step) return
    this.#step = step
    this.#post({})
  }

  /** Tells whether an answer is the newest that was asked for. */
  take({ rev }: CompileAnswer): boolean {
    return rev === this.#rev
  }

  /** The worker is another: the next change tells it everything. No answer to what was asked before counts. */
  restart(): void {
    this.#isNew = true
    this.#rev++
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  #send(): void {
    const definition = this.#waiting
    this.#waiting = null
    this.#cancel = null
    if (definition !== null) this.#post({ text: JSON.stringify(definition) })
  }

  #post(request: Pick<CompileRequest, 'facts' | 'text'>): void {
    this.#rev++
    Object.assign(this.#told, request)
    const asked = this.#isNew ? this.#told : request
    this.#isNew = false
    this.#around.post({ rev: this.#rev, step: this.#step, ...asked })
  }
}
