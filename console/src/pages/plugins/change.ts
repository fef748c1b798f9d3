import { api, ask, type Schema } from '../../api/client.ts'
import type { ApiProblem } from '../../api/problem.ts'

/** Changes a plugin as it was read: what somebody else has changed since is not overwritten. */
export async function changePlugin(
  { slug, revision }: Pick<Schema['Plugin'], 'slug' | 'revision'>,
  body: Schema['PluginPatch'],
): Promise<Schema['Plugin']> {
  return ask(
    api.PATCH('/api/plugins/{slug}', {
      params: { path: { slug }, header: { 'if-match': `"${revision}"` } },
      body,
    }),
  )
}

export function isConflict(error: ApiProblem | null): boolean {
  return error?.code === 'revision_conflict'
}
