import { api, ask, type Schema } from '../../api/client.ts'
import { ApiProblem, type ProblemBody } from '../../api/problem.ts'

/** What a page knows of the flow that it changes: it is not changed if somebody else has done so meanwhile. */
export interface Known {
  id: string
  revision: number
}

const conditional = ({ id, revision }: Known) => ({
  path: { id },
  header: { 'if-match': `"${revision}"` },
})

/** @param catchUp Whether what it has missed starts now; left out: as the service does by itself. */
export async function activateFlow(flow: Known, catchUp?: boolean): Promise<Schema['ActivatedFlow']> {
  const body = catchUp === undefined ? {} : { catch_up: catchUp }
  return ask(api.POST('/api/automation/flows/{id}/activate', { params: conditional(flow), body }))
}

export async function deactivateFlow(
  flow: Known,
  cancelRunning: boolean,
): Promise<Schema['DeactivatedFlow']> {
  const body = { cancel_running: cancelRunning }
  return ask(api.POST('/api/automation/flows/{id}/deactivate', { params: conditional(flow), body }))
}

export async function publishFlow(
  flow: Known,
  { cancelRunning, note }: { cancelRunning: boolean; note: string },
): Promise<Schema['PublishedFlow']> {
  const body = { cancel_running: cancelRunning, note: note.trim() === '' ? null : note.trim() }
  return ask(api.POST('/api/automation/flows/{id}/publish', { params: conditional(flow), body }))
}

export async function deleteFlow(flow: Known): Promise<unknown> {
  return ask(api.DELETE('/api/automation/flows/{id}', { params: conditional(flow) }))
}

export async function replaceFlow(
  flow: Known,
  definition: Schema['FlowDefinition'],
): Promise<Schema['Flow']> {
  return ask(api.PUT('/api/automation/flows/{id}', { params: conditional(flow), body: definition }))
}

interface Document {
  format?: unknown
  definition?: unknown
}

/** A definition as it is, or the one in an exported document; null: it is neither. */
export function definitionIn(document: unknown): Schema['FlowDefinition'] | null {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) return null
  const { format, definition } = document as Document
  const inner = format === 'bettercallsold.flow' ? definition : document
  return typeof inner === 'object' && inner !== null ? (inner as Schema['FlowDefinition']) : null
}

export function notDefinition(detail: string): ApiProblem {
  const code = 'malformed' as ProblemBody['code']
  return new ApiProblem({ type: 'about:blank', status: 422, code, title: detail, detail } as ProblemBody)
}
