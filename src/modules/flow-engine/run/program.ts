import type { Kysely, Transaction } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { DB } from '#db/schema.ts'
import type { CompileResult } from '#lib/flow/index.ts'
import {
  type CanonicalFlow,
  type CanonicalStep,
  END,
  FLOW_SCHEMA_VERSION,
  OLDEST_FLOW_SCHEMA_VERSION,
  type PortTarget,
  type StepId,
} from '#lib/flow/types.ts'
import { compileTemplateTree, type TemplateNode } from '#lib/template/index.ts'
import { selectValues } from '#modules/variable/index.ts'
import { flowNewer, flowOutdated } from '../errors.ts'
import { StepError } from './evaluate.ts'
import { findStored } from './program-repository.ts'

/** A published version, ready to run: its templates are compiled once, not for every execution. */
export class Program {
  readonly flow: CanonicalFlow
  readonly flowName: string
  readonly bytes: number
  readonly #templates: Map<unknown, TemplateNode>

  /** @param bytes of the text that it was read from */
  constructor(
    flow: CanonicalFlow,
    flowName: string,
    bytes = 0,
    templates = new Map<unknown, TemplateNode>(),
  ) {
    this.flow = flow
    this.flowName = flowName
    this.bytes = bytes
    this.#templates = templates
  }

  /** The same with what it reads of these values of the shop; its own variables go before. */
  withShop(values: Readonly<Record<string, unknown>>): Program {
    const read = (this.flow.shop_variables ?? []).filter((name) => Object.hasOwn(values, name))
    if (read.length === 0) return this
    const variables = {
      ...Object.fromEntries(read.map((name) => [name, values[name]])),
      ...this.flow.variables,
    }
    return new Program({ ...this.flow, variables }, this.flowName, this.bytes, this.#templates)
  }

  step(id: StepId): CanonicalStep {
    const step = this.flow.steps[id]
    if (step === undefined) throw new Error(`the published flow has no step ${id}`)
    return step
  }

  /**
   * The compiled form of a tree that stands in the flow. The compiler accepted it before it was published, but that
   * may have been another release's. @throws {StepError}
   */
  template(tree: unknown): TemplateNode {
    let compiled = this.#templates.get(tree)
    if (compiled === undefined) {
      const result = compileTemplateTree(tree)
      if ('problems' in result)
        throw new StepError('template_error', result.problems[0]?.message ?? 'The template cannot be read.')
      this.#templates.set(tree, (compiled = result.template))
    }
    return compiled
  }
}

/** A program as executions of now start by it: with the shop's values of the variables that it reads. */
export async function asOfNow(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  program: Program,
): Promise<Program> {
  const { shop_variables: names = [] } = program.flow
  return names.length === 0 ? program : program.withShop(await selectValues(db, tenantId, names))
}

/** Returns where a step's port leads; one that leads nowhere leads to the end. */
export function targetOf(step: CanonicalStep, port: string): PortTarget {
  return (step.next as Partial<Record<string, PortTarget>>)[port] ?? END
}

/** Compiles a definition's text against what the tenant has now. */
export type CompileDefinition = (
  tenantId: string,
  definition: string,
  db: Kysely<DB> | Transaction<DB>,
) => Promise<CompileResult>

/** Of text; read, it takes several times as much. Versions never change, so that what is cached is never wrong. */
const CACHE_MAX_BYTES = 64 * 1024 * 1024
/** Of a program, beside its text. */
const PROGRAM_BYTES = 8_000

export class ProgramCache {
  readonly #db: Kysely<DB>
  readonly #programs = new LRUCache<string, Program>({
    maxSize: CACHE_MAX_BYTES,
    sizeCalculation: ({ bytes }) => Math.min(CACHE_MAX_BYTES, PROGRAM_BYTES + bytes),
  })
  readonly #loading = new Map<string, Promise<Program | null>>()
  #compile: CompileDefinition | null = null

  constructor(db: Kysely<DB>) {
    this.#db = db
  }

  /** Says how flows are compiled that are stored under an older schema. */
  compileWith(compile: CompileDefinition): void {
    this.#compile = compile
  }

  /** @throws `flow_newer`, `flow_outdated` */
  async get(tenantId: string, flowId: string, version: number): Promise<Program> {
    const program = await this.find(tenantId, flowId, version)
    if (program === null) throw new Error(`the flow ${flowId} has no version ${version}`)
    return program
  }

  /**
   * @param db where to load it from: a transaction's own connection for who holds one, and locks with it
   * @throws `flow_newer`, `flow_outdated`
   */
  async find(
    tenantId: string,
    flowId: string,
    version: number,
    db: Kysely<DB> | Transaction<DB> = this.#db,
  ): Promise<Program | null> {
    const key = `${tenantId} ${flowId} ${version}`
    const known = this.#programs.get(key)
    if (known !== undefined) return known
    let loading = this.#loading.get(key)
    if (loading === undefined) {
      loading = this.#load(db, tenantId, flowId, version).finally(() => this.#loading.delete(key))
      this.#loading.set(key, loading)
    }
    const program = await loading
    if (program !== null) this.#programs.set(key, program)
    return program
  }

  async #load(
    db: Kysely<DB> | Transaction<DB>,
    tenantId: string,
    flowId: string,
    version: number,
  ): Promise<Program | null> {
    const row = await findStored(db, tenantId, flowId, version)
    if (row === undefined) return null
    const stored = row.flow as unknown as CanonicalFlow
    const schemaVersion: number = stored.schema_version
    if (schemaVersion > FLOW_SCHEMA_VERSION) throw flowNewer()
    if (schemaVersion >= OLDEST_FLOW_SCHEMA_VERSION) return new Program(stored, row.name, row.bytes)
    if (this.#compile === null) throw new Error('nothing compiles flows here')
    const { flow } = await this.#compile(tenantId, row.definition, db)
    if (flow === null) throw flowOutdated()
    return new Program(flow, row.name, row.bytes)
  }
}
