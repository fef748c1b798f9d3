import type { SafeSchema } from '#lib/schema/safe/index.ts'
import type { ActionConfig, FlowSchemaVersion, StepBase, StepId } from '../elements.ts'
import type { Reader } from '../read/reader.ts'

type Members = Record<string, unknown>

/**
 * Defines one type of step for all readers of definitions: the compiler, its graph, export and import, the usage of
 * actions, and the catalogue for builders. Its runner, in the flow engine, does the work when it runs.
 */
export interface StepDefinition<Config = object, Port = string> {
  /** The form of canonical flows that came with the type: flows with such a step are left to releases that know it. */
  since: FlowSchemaVersion
  /** Describes the members of its own; `stepSchema` adds those that all steps, ports and calls have. */
  schema: StepSchema
  /** The first example as the linear format writes it; null: it stands there the same. */
  linear: Members | null
  /** Compiles the members of its own; null: it is wrong, which is reported. */
  read(reader: Reader): Config | null
  /** Lists the ports by which it is left. @param config null: it is wrong, and ports that depend on it are left out */
  ports(config: Config | null): readonly Port[]
  /** The ports that go on to the following step when they are left out; the others lead to the end. */
  goesOn: readonly Port[]
  /** The ports by which it is left without an output, beside `error`. */
  withoutOutput: readonly Port[]
  /** It calls others: it may be retried, and has a timeout and an error port. */
  calls: boolean
  /**
   * Says whether it may cause events that start flows. `by_action`: those that its action, which is its config, may
   * cause.
   */
  causes: 'nothing' | 'anything' | 'by_action'
  /** The action that it calls; null: none. */
  actionOf(config: Config): ActionConfig | null
  /** Finds what it names of the tenant, in members that may be wrong. */
  references(members: Members): StepReferences
  /** Null: the type sets no variables. */
  variables: StepVariables<Config> | null
  /** Returns the schema of its output, beyond what its action declares; null: nothing is known. */
  output(config: Config): SafeSchema | null
  /** Null: the type has no body. */
  body: StepBody<Config> | null
}

/** The definition of one type. */
export type DefinitionOf<Step extends StepBase<string, object, string>> = StepDefinition<
  Step['config'],
  keyof Step['next']
>

interface StepSchema {
  description: string
  properties: Record<string, SafeSchema>
  required?: string[]
  /** It names ports of its own, beside those that all steps of the type have. */
  namesPorts?: true
  /** Steps without an id that compile, in the graph format first. Together they use every member. */
  examples: [Members, ...Members[]]
}

/** Steps that stand inside of another one and are done for each of its items. */
interface StepBody<Config> {
  /** The id of its first step. */
  first(config: Config): StepId
  /** The steps that are written inside of the step; null: the body is a list of the flow's own steps. */
  steps(members: Members): unknown[] | null
  /** Tells a loop whose items end by themselves at an error that no port takes up. */
  outlivesErrors(config: Config): boolean
}

/** The variables that a step sets: they are its output. */
interface StepVariables<Config> {
  names(config: Config): readonly string[]
}

/** Lists what a step names, each as it is written. */
export interface StepReferences {
  action: NamedAction | null
  /** The objects whose `plugin_id` names a plugin. */
  pluginHolders: unknown[]
  /** The event types that it waits for. */
  eventTypes: unknown[]
  /** The connections that it asks by. */
  connections: unknown[]
}

/** The action that a step calls. */
export interface NamedAction {
  actionType: unknown
  pluginRef: unknown
  /** The fields that the step gives it; null: the step's own parts go where they fit. */
  fields: readonly string[] | null
}

export const NO_REFERENCES: StepReferences = {
  action: null,
  pluginHolders: [],
  eventTypes: [],
  connections: [],
}

/** The part of a definition that holds for most types. */
export const USUAL = {
  linear: null,
  withoutOutput: [],
  actionOf: () => null,
  references: () => NO_REFERENCES,
  variables: null,
  output: (): SafeSchema | null => null,
  body: null,
} as const
