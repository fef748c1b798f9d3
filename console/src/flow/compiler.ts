import {
  type CatalogueFacts,
  type FlowProblem,
  inspectFlow,
  type ScopeEntry,
  toCatalogue,
} from '../../../src/lib/flow/index.ts'
import { exactNumber } from '../../../src/lib/json/raw-number.ts'

export interface Compiled {
  problems: readonly FlowProblem[]
  /** Null as soon as one of the problems is an error. */
  canonical: ReturnType<typeof inspectFlow>['flow']
  /** What templates of a step may read; null: what triggers and settings may. */
  scopeAt: (stepId: string | null) => readonly ScopeEntry[]
}

/** What the page asks of the worker. What is left out is as it was. */
export interface CompileRequest {
  rev: number
  /** The shop's facts as JSON. Texts alone pass: what keeps a number as it was written cannot be copied to a worker. */
  facts?: string
  /** The definition as JSON. */
  text?: string
  /** Whose scope is wanted; null: that of triggers and settings. */
  step: string | null
}

export interface CompileAnswer {
  rev: number
  problems: readonly FlowProblem[]
  /** It may be published. */
  isValid: boolean
  scope: readonly ScopeEntry[]
}

/** Compiles as the service does, with what it has said of the shop. */
export function createCompiler(facts: CatalogueFacts): (definition: unknown) => Compiled {
  const catalogue = toCatalogue(facts)
  return (definition) => {
    const { flow, problems, scopeAt } = inspectFlow(definition, catalogue)
    return { problems, canonical: flow, scopeAt }
  }
}

/** What the worker keeps from one request to the next. It answers nothing before it knows the shop and the flow. */
export function createSession(): (request: CompileRequest) => CompileAnswer | null {
  let compile: ReturnType<typeof createCompiler> | null = null
  let definition: { value: unknown } | null = null
  let compiled: Compiled | null = null
  return ({ rev, facts, text, step }) => {
    if (facts !== undefined) compile = createCompiler(parseExact(facts) as CatalogueFacts)
    if (text !== undefined) definition = { value: parseExact(text) }
    if (compile === null || definition === null) return null
    if (facts !== undefined || text !== undefined) compiled = null
    compiled ??= compile(definition.value)
    const { problems, canonical, scopeAt } = compiled
    return { rev, problems, isValid: canonical !== null, scope: scopeAt(step) }
  }
}

/** Reads numbers as the service does. */
export function parseExact(text: string): unknown {
  const reviver = (_: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' && context?.source !== undefined ? exactNumber(context.source) : value
  return JSON.parse(text, reviver)
}
