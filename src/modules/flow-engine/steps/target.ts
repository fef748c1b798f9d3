import { PLATFORM } from '#lib/flow/resolve-action.ts'
import type { ActionConfig } from '#lib/flow/types.ts'

/** The side that a call asks, read from its target. `platform` and `origin` are no plugin's. */
export type CallTarget =
  | { type: 'plugin'; ref: string; action_type: string }
  | { type: 'platform'; action_type: string }
  | { type: 'origin'; origin: string }

/** Says whom an action asks for what, as `Call.target`. */
export function actionTarget({ plugin_id, action_type }: ActionConfig): string {
  return `${plugin_id} ${action_type}`
}

/** Says whom a request asks, as `Call.target`: a host that is away is so for all of its paths. */
export function requestTarget(url: string): string {
  return originOf(url) ?? 'http'
}

/** Reads what `actionTarget` and `requestTarget` have written: an origin has no space. */
export function readTarget(target: string): CallTarget {
  const space = target.indexOf(' ')
  if (space === -1) return { type: 'origin', origin: target }
  const [ref, action_type] = [target.slice(0, space), target.slice(space + 1)]
  return ref === PLATFORM ? { type: 'platform', action_type } : { type: 'plugin', ref, action_type }
}

export function originOf(url: string): string | null {
  return URL.parse(url)?.origin ?? null
}
