import type { Schema } from '../api/client.ts'
import type { Known } from '../pages/flows/actions.ts'

type Flow = Schema['Flow']

const open = new Map<string, () => Promise<Flow>>()

/** Names a draft that is being edited. Returns what ends that. */
export function registerDraft(id: string, save: () => Promise<Flow>): () => void {
  open.set(id, save)
  return () => {
    if (open.get(id) === save) open.delete(id)
  }
}

/** The flow once all that was edited is saved. @throws {ApiProblem} when it cannot be */
export async function savedFlow<Given extends Known>(flow: Given): Promise<Given | Flow> {
  return (await open.get(flow.id)?.()) ?? flow
}
