import { isEventPattern, matchesPattern } from '#lib/event-pattern.ts'

/** The scopes that a plugin's own keys may have, by the word before any argument. */
export const SCOPES = {
  'self:read': 'its own settings, health, actions, capabilities, deliveries and replays, and event types',
  'self:manage':
    'test, pause and resume itself, change its URLs and subscriptions, rotate its secret, retry and replay to itself',
  'events:read': 'subscribe to, and read in the feed, events of types that the pattern takes',
  'events:publish': 'publish events below segments of its own',
  'actions:offer': 'register actions and its manifest',
  'actions:call': 'dispatch actions of this name, or of all by *',
  'flows:read': 'read flows and their versions',
} as const

export type Scope = keyof typeof SCOPES

/** Scopes with an argument, as `events:read:order.*`. */
export const WITH_ARGUMENT: ReadonlySet<string> = new Set<Scope>(['events:read', 'actions:call'])

export const DEFAULT_SCOPES: readonly string[] = [
  'self:read',
  'self:manage',
  'events:read:*',
  'events:publish',
  'actions:offer',
]

/** Scopes by which nothing is changed. */
const READING: ReadonlySet<string> = new Set<Scope>(['self:read', 'events:read', 'flows:read'])

/** Those of the scopes by which nothing is changed. */
export function readingScopes(scopes: readonly string[]): string[] {
  return scopes.filter((each) => READING.has(split(each)[0]))
}

const ACTION_NAME = /^(?:\*|[a-z][a-z0-9_]*(?:[.-][a-z0-9_]+)*)$/

/** Returns the reason why a text is no scope; null: it is one. */
export function scopeFault(text: string): string | null {
  const [scope, argument] = split(text)
  if (!Object.hasOwn(SCOPES, scope)) return `must be one of ${Object.keys(SCOPES).join(', ')}`
  if (!WITH_ARGUMENT.has(scope)) return argument === null ? null : `takes nothing behind "${scope}"`
  if (argument === null) return `must say of what: "${scope}:*", or something less`
  if (scope === 'events:read') {
    return isEventPattern(argument) ? null : 'must name an event type, product.* or * behind "events:read:"'
  }
  return ACTION_NAME.test(argument) ? null : 'must name an action or * behind "actions:call:"'
}

/** Tells whether the scopes have this one, with any argument. */
export function hasScope(scopes: readonly string[], scope: Scope): boolean {
  return scopes.some((each) => split(each)[0] === scope)
}

/** Tells whether the scopes let the action be called, by the name that the caller gives. */
export function mayCall(scopes: readonly string[], actionType: string): boolean {
  return argumentsOf(scopes, 'actions:call').some((name) => name === '*' || name === actionType)
}

/** Tells whether all events that a subscription's pattern takes may be read. */
export function mayRead(scopes: readonly string[], pattern: string): boolean {
  return argumentsOf(scopes, 'events:read').some(
    (allowed) =>
      allowed === '*' || allowed === pattern || (pattern !== '*' && matchesPattern(allowed, pattern)),
  )
}

function argumentsOf(scopes: readonly string[], scope: Scope): string[] {
  return scopes.flatMap((each) => {
    const [word, argument] = split(each)
    return word === scope && argument !== null ? [argument] : []
  })
}

/** `events:read:order.*` → `events:read` and `order.*`. */
function split(text: string): [scope: string, argument: string | null] {
  const at = text.indexOf(':', text.indexOf(':') + 1)
  return at === -1 ? [text, null] : [text.slice(0, at), text.slice(at + 1)]
}
