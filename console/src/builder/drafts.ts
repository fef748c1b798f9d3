import type { Known } from '../pages/flows/actions.ts'

const open = new Map<string, () => Promise<Known>>()

/** Names a draft that is being edited. Returns what ends that. */
export function registerDraft(id: string, save: () => Promise<Known>): () => void {
  open.set(id, save)
  return () => {
    if (open.get(id) === save) open.delete(id)
  }
}

/** The flow once all that was edited is saved. @throws {ApiProblem} when it cannot be */
export async function savedFlow(flow: Known): Promise<Known> {
  return (await open.get(flow.id)?.()) ?? flow
}
