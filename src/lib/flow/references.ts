import { collectSteps } from './read/drafts.ts'
import { ProblemList } from './problems.ts'
import { readSource } from './read/source.ts'
import { type NamedAction, NO_REFERENCES, type StepReferences } from './steps/definition.ts'
import { findDefinition } from './steps/index.ts'

export interface ActionReference {
  actionType: string
  /** As written; null: the owner of the action's name. */
  pluginRef: string | null
}

/** An action as one step names it. */
type ActionUse = ActionReference & Pick<NamedAction, 'fields'>

/** Lists every step's use of an action. Wrong parts are skipped; compiling reports them. */
export function actionUses(definition: unknown): ActionUse[] {
  const problems = new ProblemList(definition)
  const source = readSource(definition, problems)
  return (source ? collectSteps(source, problems) : []).flatMap(({ members }) => {
    const { actionType, pluginRef, fields = null } = stepReferences(members).action ?? {}
    if (typeof actionType !== 'string' || (pluginRef !== null && typeof pluginRef !== 'string')) return []
    return [{ actionType, pluginRef, fields }]
  })
}

/**
 * Lists the actions that a definition names, each once: a caller has to look them up before `compileFlow` asks its
 * catalogue for them.
 */
export function actionReferences(definition: unknown): ActionReference[] {
  const references = new Map<string, ActionReference>()
  for (const { actionType, pluginRef } of actionUses(definition)) {
    references.set(JSON.stringify([actionType, pluginRef]), { actionType, pluginRef })
  }
  return [...references.values()]
}

/** Finds what a step names of the tenant, by its type; a step of no type that there is names nothing. */
export function stepReferences(members: Record<string, unknown>): StepReferences {
  return findDefinition(members['type'])?.references(members) ?? NO_REFERENCES
}
