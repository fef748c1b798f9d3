import { type Kysely, sql, type Transaction } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { DB } from '#db/schema.ts'
import type { CompileResult } from '#lib/flow/index.ts'
import { type CanonicalFlow, type CanonicalStep, FLOW_SCHEMA_VERSION, type StepId } from '#lib/flow/types.ts'
import { compileTemplateTree, type TemplateNode } from '#lib/template/index.ts'
import { flowNewer, flowOutdated } from '../errors.ts'

/** An estimate on the high side: the flow as objects and its compiled templates, against its canonical text. */
const BYTES_A_TEXT_BYTE = 4
const PROGRAM_BYTES = 1_000

/** A published version, ready to run: its templates are compiled once, not for every execution. */
export class Program {
  readonly flow: CanonicalFlow
  readonly flowName: string
  /** About how much memory it takes, for caches. */
  readonly bytes: number
  readonly #templates = new Map<unknown, TemplateNode>()

  constructor(flow: CanonicalFlow, flowName: string, textBytes = 0) {
    this.flow = flow
    this.flowName = flowName
    this.bytes = PROGRAM_BYTES + BYTES_A_TEXT_BYTE * textBytes
  }

  step(id: StepId): CanonicalStep {
    const step = this.flow.steps[id]
    if (step === undefined) throw new Error(`the published flow has no step ${id}`)
    return step
  }

  /** The compiled form of a tree that stands in the flow. The compiler accepted it before it was published. */
  template(tree: unknown): TemplateNode {
    let compiled = this.#templates.get(tree)
    if (compiled === undefined) {
      const result = compileTemplateTree(tree)
      if ('problems' in result)
        throw new Error(`a published template does not compile: ${result.problems[0]?.message ?? ''}`)
      this.#templates.set(tree, (compiled = result.template))
    }
    return compiled
  }
}

/** Compiles a definition's text against what the tenant has now. */
export type CompileDefinition = (
  tenantId: string,
  definition: string,
  db: Kysely<DB> | Transaction<DB>,
) => Promise<CompileResult>

/** Versions never change, so that what is cached is never wrong; the least recently used go first. */
const CACHE_MAX_BYTES = 64 * 1024 * 1024

export class ProgramCache {
  readonly #db: Kysely<DB>
  readonly #programs = new LRUCache<string, Program>({
    maxSize: CACHE_MAX_BYTES,
    sizeCalculation: ({ bytes }) => Math.min(CACHE_MAX_BYTES, bytes),
  })
  readonly #loading = new Map<string, Promise<Program | null>>()
  #compile: CompileDefinition | null = null

  constructor(db: Kysely<DB>) {
    this.#db = db
  }

  /** What is stored under an older schema is compiled by this. */
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
    if (schemaVersion === FLOW_SCHEMA_VERSION) return new Program(stored, row.name, row.bytes)
    if (this.#compile === null) throw new Error('nothing compiles flows here')
    const { flow } = await this.#compile(tenantId, row.definition, db)
    if (flow === null) throw flowOutdated()
    return new Program(flow, row.name, row.bytes)
  }
}

async function findStored(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  flowId: string,
  version: number,
) {
  return db
    .selectFrom('automation_flow_versions as v')
    .innerJoin('automation_flows as f', (join) =>
      join.onRef('f.tenant_id', '=', 'v.tenant_id').onRef('f.id', '=', 'v.flow_id'),
    )
    .select(['v.flow', 'v.definition', 'f.name', sql<number>`octet_length(v.flow::text)`.as('bytes')])
    .where('v.tenant_id', '=', tenantId)
    .where('v.flow_id', '=', flowId)
    .where('v.version', '=', version)
    .executeTakeFirst()
}
