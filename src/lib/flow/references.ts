import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { collectSteps } from './read/drafts.ts'
import { ProblemList } from './problems.ts'
import { readSource } from './read/source.ts'
import { NO_REFERENCES, type StepReferences } from './steps/definition.ts'
import { INPUT_NAMES } from './steps/action.ts'
import { findDefinition } from './steps/index.ts'

export interface ActionReference {
  actionType: string
  /** As written; null: whose the action's name is. */
  pluginRef: string | null
}

/** An action as one step names it. */
export interface ActionUse extends ActionReference {
  /** Fields that the step gives it; null: the step's own parts go where they fit. */
  fields: readonly string[] | null
}

/** Every step's use of an action. Wrong parts are skipped. */
export function actionUses(definition: unknown): ActionUse[] {
  const problems = new ProblemList(definition)
  const source = readSource(definition, problems)
  return (source ? collectSteps(source, problems) : []).flatMap(({ members }) => {
    const { actionType, pluginRef } = stepReferences(members).action ?? {}
    if (typeof actionType !== 'string' || (pluginRef !== null && typeof pluginRef !== 'string')) return []
    return [{ actionType, pluginRef, fields: fieldsOf(members) }]
  })
}

function fieldsOf(members: Record<string, unknown>): readonly string[] | null {
  if (members['type'] === 'message') return null
  const input = INPUT_NAMES.map((name) => members[name]).find(
    (given) => given !== undefined && given !== null,
  )
  return isPlainObject(input) ? Object.keys(input) : []
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
