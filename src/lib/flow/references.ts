import { collectSteps } from './drafts.ts'
import { ProblemList } from './problems.ts'
import { readSource } from './source.ts'

export interface ActionReference {
  actionType: string
  /** As written; null: whoever alone has the action. */
  pluginRef: string | null
}

/**
 * The actions that a definition names, each once: what a caller has to look up before `compileFlow` asks its
 * catalogue for them. Wrong parts are skipped; compiling reports them.
 */
export function actionReferences(definition: unknown): ActionReference[] {
  const problems = new ProblemList(definition)
  const source = readSource(definition, problems)
  const references = new Map<string, ActionReference>()
  for (const { members } of source ? collectSteps(source, problems) : []) {
    const actionType = members['action_type'] ?? members['action_id']
    const pluginRef = members['plugin_id'] ?? null
    if (members['type'] !== 'action' || typeof actionType !== 'string') continue
    if (pluginRef !== null && typeof pluginRef !== 'string') continue
    references.set(JSON.stringify([actionType, pluginRef]), { actionType, pluginRef })
  }
  return [...references.values()]
}
