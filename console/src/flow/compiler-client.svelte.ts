import type { CatalogueFacts, FlowProblem, ScopeEntry } from '../../../src/lib/flow/index.ts'
import { CompileRequests } from './compile-requests.ts'
import type { CompileAnswer } from './compiler.ts'
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
  readonly #worker = startWorker()
  readonly #requests: CompileRequests

  constructor() {
    this.#requests = new CompileRequests({
      post: (request) => this.#worker.postMessage(request),
      later: (call, ms) => {
        const timer = setTimeout(call, ms)
        return () => clearTimeout(timer)
      },
    })
    this.#worker.addEventListener('message', ({ data }: MessageEvent<CompileAnswer>) => {
      if (!this.#requests.take(data)) return
      this.problems = data.problems
      this.scope = data.scope
      this.isValid = data.isValid
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
    this.#worker.terminate()
  }
}
