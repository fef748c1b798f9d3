import { zoneOf } from '../../../src/lib/flow/zone.ts'
import { parsePath, readPath } from '../../../src/lib/json/path.ts'
import { withPlainNumbers } from '../../../src/lib/json/raw-number.ts'
import { holdsTemplate } from '../../../src/lib/template-text.ts'
import {
  compileTemplate,
  expressionsOf,
  type Operand,
  renderTemplate,
  type TemplateNode,
  visitTemplates,
} from '../../../src/lib/template/index.ts'
import type { ScopeEntry } from './scope-entry.ts'

type Preview =
  | { value: unknown }
  /** Of the path nothing is known before the flow runs. */
  | { unknown: string }
  /** In the engine's words. */
  | { fault: string }

export interface PreviewContext {
  now: Date
  /** The shop's. */
  zone: string
  /** That of the flow's schedules; null: none is named. */
  scheduleZone: string | null
  /** The trigger's samples are all that a past event had. */
  isPastEvent: boolean
}

/**
 * What a text becomes with the samples of its scope, by the engine's own renderer; null: there is no template in it, or
 * one that cannot be read, of which the compiler tells.
 */
export function previewOf(
  text: string,
  scope: readonly ScopeEntry[],
  { now, zone, scheduleZone, isPastEvent }: PreviewContext,
): Preview | null {
  if (!holdsTemplate(text)) return null
  const compiled = compileTemplate(text)
  if ('problems' in compiled) return null
  const samples = sampleScope(scope)
  const tenant = { id: '', time_zone: zone }
  const zoneOfRun = zoneOf({
    trigger: samples['trigger'],
    tenant,
    ...(scheduleZone !== null && { zone: scheduleZone }),
  })
  const rendered = renderTemplate(compiled.template, samples, { now, zone: zoneOfRun })
  if (!('error' in rendered)) return rendered
  const unknown = [...pathsIn(compiled.template)].find((path) => isUnknown(path, scope, samples, isPastEvent))
  return unknown === undefined ? { fault: rendered.error.message } : { unknown: unknown.text }
}

type PathOperand = Extract<Operand, { kind: 'path' }>

function* pathsIn(template: TemplateNode): Generator<PathOperand, void> {
  const texts: string[] = []
  const operands: Operand[] = []
  visitTemplates(template, ({ parts }) => {
    for (const { operand, filters } of expressionsOf(parts)) {
      operands.push(operand, ...filters.flatMap(({ args }) => args))
    }
  })
  for (const operand of operands) {
    const path = operand.kind === 'local' ? operand.stands : operand
    if (path?.kind !== 'path' || texts.includes(path.text)) continue
    texts.push(path.text)
    yield path
  }
}

/** Tells what has no sample from what the sample shows to be missing. */
function isUnknown(
  { root, path, text }: PathOperand,
  scope: readonly ScopeEntry[],
  samples: Readonly<Record<string, unknown>>,
  isPastEvent: boolean,
): boolean {
  if (root === 'now' || readPath(samples, [root, ...path]) !== undefined) return false
  if (root !== 'trigger' && root !== 'event') return true
  if (isPastEvent) return false
  return samples[root] === undefined || scope.some((entry) => entry.path === text)
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
