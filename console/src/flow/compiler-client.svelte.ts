import type { CatalogueFacts, FlowProblem, ScopeEntry } from '../../../src/lib/flow/index.ts'
import { CompileRequests } from './compile-requests.ts'
import { type CompileAnswer, type CompileRequest, parseExact } from './compiler.ts'
import type { FlowDocument } from './document.ts'
import workerUrl from './compiler.worker.ts?worker&url'

interface TrustedTypes {
  createPolicy: (
    name: string,
    rules: { createScriptURL: (url: string) => string },
  ) => {
    createScriptURL: (url: string) => string
  }
}

/** The page's policy lets no script be loaded but through one that it names (src/infra/http/console.ts). */
const trusted = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes?.createPolicy('console-worker', {
  createScriptURL: (url) => url,
})

function startWorker(): Worker {
  return new Worker(trusted?.createScriptURL(workerUrl) ?? workerUrl, { type: 'module' })
}

/** The product's compiler beside the page: what it says of the document that was given last. */
export class CompilerClient {
  problems = $state.raw<readonly FlowProblem[]>([])
  /** What templates of the step that is selected may read. */
  scope = $state.raw<readonly ScopeEntry[]>([])
  /** Null: nothing was compiled yet. */
  isValid = $state<boolean | null>(null)
  /** The reason why nothing is checked now; null: it is. The next change tries again, with another worker. */
  failure = $state<string | null>(null)
  #worker: Worker | null = null
  readonly #requests: CompileRequests

  constructor() {
    this.#requests = new CompileRequests({
      post: (request) => this.#post(request),
      later: (call, ms) => {
        const timer = setTimeout(call, ms)
        return () => clearTimeout(timer)
      },
    })
  }

  setFacts(facts: CatalogueFacts): void {
    this.#requests.setFacts(facts)
  }

  /** @param isTyping more may follow at once */
  compile({ definition }: FlowDocument, isTyping = false): void {
    this.#requests.compile(definition, isTyping)
  }

  select(step: string | null): void {
    this.#requests.select(step)
  }

  close(): void {
    this.#requests.stop()
    this.#stopWorker()
  }

  #post(request: CompileRequest): void {
    try {
      this.#worker ??= this.#start()
      this.#worker.postMessage(request)
    } catch (error) {
      this.#fail(String(error))
    }
  }

  #start(): Worker {
    const worker = startWorker()
    worker.addEventListener('message', ({ data }: MessageEvent<string>) => {
      this.#take(parseExact(data) as CompileAnswer)
    })
    // Without a message: its script could not be loaded.
    worker.addEventListener('error', ({ message }: Partial<ErrorEvent>) => this.#fail(message ?? ''))
    return worker
  }

  #take(answer: CompileAnswer): void {
    if (!this.#requests.take(answer)) return
    this.problems = answer.problems
    this.scope = answer.scope
    this.isValid = answer.isValid
    this.failure = null
  }

  #fail(reason: string): void {
    this.#stopWorker()
    this.#requests.restart()
    this.isValid = null
    this.failure = reason
  }

  #stopWorker(): void {
    this.#worker?.terminate()
    this.#worker = null
  }
}
