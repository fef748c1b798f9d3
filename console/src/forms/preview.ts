import { parsePath } from '../../../src/lib/json/path.ts'
import { withPlainNumbers } from '../../../src/lib/json/raw-number.ts'
import { holdsTemplate } from '../../../src/lib/template-text.ts'
import { compileTemplate, renderTemplate } from '../../../src/lib/template/index.ts'
import type { ScopeEntry } from './form-state.svelte.ts'

type Preview = { value: unknown } | { fault: string }

/** What a text becomes with the samples of its scope, by the engine's own renderer; null: there is no template in it. */
export function previewOf(text: string, scope: readonly ScopeEntry[], now: Date): Preview | null {
  if (!holdsTemplate(text)) return null
  const compiled = compileTemplate(text)
  if ('problems' in compiled) return { fault: compiled.problems.map(({ message }) => message).join(' ') }
  const rendered = renderTemplate(compiled.template, sampleScope(scope), { now })
  return 'error' in rendered ? { fault: rendered.error.message } : rendered
}

const scopes = new WeakMap<readonly ScopeEntry[], Record<string, unknown>>()

/** The values that templates start from, put together from the samples of single paths, shorter paths first. */
function sampleScope(entries: readonly ScopeEntry[]): Record<string, unknown> {
  const known = scopes.get(entries)
  if (known !== undefined) return known
  const root: Record<string, unknown> = {}
  const withPaths = entries.flatMap((entry) => {
    const path = entry.sample === undefined ? null : parsePath(entry.path)
    return path === null ? [] : [{ path, sample: withPlainNumbers(entry.sample) }]
  })
  for (const { path, sample } of withPaths.sort((a, b) => a.path.length - b.path.length))
    put(root, path, sample)
  scopes.set(entries, root)
  return root
}

/** Leaves alone what a sample of something larger has said already. */
function put(root: object, path: readonly (string | number)[], sample: unknown): void {
  let at = root as Record<string | number, unknown>
  for (const [index, segment] of path.entries()) {
    if (Object.hasOwn(at, segment)) {
      const next = at[segment]
      if (typeof next !== 'object' || next === null) return
      at = next as Record<string | number, unknown>
      continue
    }
    const after = path[index + 1]
    const value: unknown = after === undefined ? sample : typeof after === 'number' ? [] : {}
    Object.defineProperty(at, segment, { value, enumerable: true, writable: true, configurable: true })
    if (after !== undefined) at = value as Record<string | number, unknown>
  }
}

/** A sample or a result, short enough for one line. */
export function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) as string | undefined)
  if (text === undefined) return ''
  return text.length > 200 ? `${text.slice(0, 199)}…` : text
}
