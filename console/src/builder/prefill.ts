import type { ScopeEntry } from '../forms/form-state.svelte.ts'
import type { Members } from '../flow/graph.ts'

/** What a new step is given by what starts the flow: never a path that is not known to be there. */
export function prefillOf(type: string, scope: readonly ScopeEntry[]): Members {
  const email = type === 'message' ? emailIn(scope) : undefined
  return email === undefined ? {} : { to: `{{${email.path}}}` }
}

/** The address nearest to the top of the data; of several as near, the first. */
function emailIn(scope: readonly ScopeEntry[]): ScopeEntry | undefined {
  const depth = ({ path }: ScopeEntry): number => path.split('.').length
  return scope
    .filter(({ group, path }) => group === 'trigger' && /^trigger\.(?:\w+\.)*email$/.test(path))
    .sort((one, other) => depth(one) - depth(other))[0]
}
