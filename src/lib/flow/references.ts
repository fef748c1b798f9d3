import { collectSteps } from './read/drafts.ts'
import { ProblemList } from './problems.ts'
import { readSource } from './read/source.ts'
import { NO_REFERENCES, type StepReferences } from './steps/definition.ts'
import { findDefinition } from './steps/index.ts'

export interface ActionReference {
  actionType: string
  /** As written; null: whose the action's name is. */
  pluginRef: string | null
}

/**
 * Lists the actions that a definition names, each once: what a caller has to look up before `compileFlow` asks its
 * catalogue for them. Wrong parts are skipped; compiling reports them.
 */
export function actionReferences(definition: unknown): ActionReference[] {
  const problems = new ProblemList(definition)
  const source = readSource(definition, problems)
  const references = new Map<string, ActionReference>()
  for (const { members } of source ? collectSteps(source, problems) : []) {
    const { actionType, pluginRef } = stepReferences(members).action ?? {}
    if (typeof actionType !== 'string' || (pluginRef !== null && typeof pluginRef !== 'string')) continue
    references.set(JSON.stringify([actionType, pluginRef]), { actionType, pluginRef })
  }
  return [...references.values()]
}

/** Finds what a step names of the tenant, by its type; a step of no type that there is names nothing. */
export function stepReferences(members: Record<string, unknown>): StepReferences {
  return findDefinition(members['type'])?.references(members) ?? NO_REFERENCES
}
