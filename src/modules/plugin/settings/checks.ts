import { isDeepStrictEqual } from 'node:util'
import { DEFAULT_SCOPES, mayRead, scopeFault } from '#infra/auth/scopes.ts'
import { checkCondition } from '#lib/condition/index.ts'
import { isEventPattern } from '#lib/event-pattern.ts'
import { isRawNumber, toPointer } from '#lib/json/index.ts'
import { parsePath } from '#lib/json/path.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { parseSecret } from '#lib/secrets/signature.ts'
import type { Subscription } from './subscription.ts'
import { holdsTemplate } from '#lib/template-text.ts'

export function checkSecret(secret: string | undefined): FieldError[] {
  if (secret === undefined) return []
  try {
    parseSecret(secret)
    return []
  } catch (error) {
    return [{ pointer: '/secret', detail: (error as TypeError).message }]
  }
}

/** The egress door says whether a URL may be called; here is what would be dropped silently on the way there. */
export function checkUrl(url: string, pointer = '/webhook_url'): FieldError[] {
  if (/[\s\p{Cc}]/u.test(url)) return [{ pointer, detail: 'must not contain spaces or control characters' }]
  if (url.includes('#')) return [{ pointer, detail: 'must not have a fragment (#…)' }]
  return []
}

export function checkBaseUrl(url: string): FieldError[] {
  const pointer = '/base_url'
  const errors = checkUrl(url, pointer)
  if (errors.length > 0 || !url.includes('?')) return errors
  return [{ pointer, detail: 'must not have a query (?…)' }]
}

export function checkSubscriptions(events: readonly Subscription[]): FieldError[] {
  const seen: { event: string; filter: unknown }[] = []
  return events.flatMap((entry, index) => {
    const { event, filter = null } = typeof entry === 'string' ? { event: entry } : entry
    const at = typeof entry === 'string' ? ['events', index] : ['events', index, 'event']
    if (!isEventPattern(event)) {
      const detail = 'must be an event type such as product.created, product.* for all below product, or *'
      return [{ pointer: toPointer(at), detail }]
    }
    const errors = [
      ...(filter === null ? [] : checkFilter(filter, toPointer(['events', index, 'filter']))),
      ...(typeof entry === 'string' ? [] : checkChoice(entry, ['events', index])),
    ]
    if (errors.length > 0) return errors
    if (seen.some((other) => other.event === event && isDeepStrictEqual(other.filter, filter))) {
      return [{ pointer: toPointer(['events', index]), detail: 'is there twice' }]
    }
    seen.push({ event, filter })
    return []
  })
}

function checkChoice(entry: Exclude<Subscription, string>, at: (string | number)[]): FieldError[] {
  const coalesceKey = entry.coalesce?.key
  if (coalesceKey !== undefined && parsePath(coalesceKey) === null) {
    return [{ pointer: toPointer([...at, 'coalesce', 'key']), detail: PATH_OF_DATA }]
  }
  const given = (['include', 'exclude'] as const).filter((name) => entry[name] !== undefined)
  const thin = entry.payload === 'thin' ? (['payload'] as const) : []
  const [, other] = [...given, ...thin]
  if (other !== undefined) {
    return [
      {
        pointer: toPointer([...at, other]),
        detail: 'must stand alone: give include, exclude or "payload": "thin"',
      },
    ]
  }
  return given.flatMap((name) =>
    (entry[name] ?? []).flatMap((path, index) => {
      const detail = chosenPathFault(path)
      return detail === null ? [] : [{ pointer: toPointer([...at, name, index]), detail }]
    }),
  )
}

function chosenPathFault(path: string): string | null {
  const segments = parsePath(path)
  if (segments?.every((segment) => typeof segment === 'string') !== true)
    return "must be names from the event's data on, such as customer.email, or items.sku for each of a list"
  // Every item of a list is gone through: a position would be looked for as a name, and choose nothing.
  if (segments.some((segment) => /^\d+$/.test(segment)))
    return 'must not have positions in a list: items.email means the email of each of items'
  return null
}

/** A filter looks at the event's data: that is the root of its paths. */
const FILTER_OPTIONS = { fieldExamples: '"customer.email" or "items[0].sku", from the event\'s data on' }

function checkFilter(filter: unknown, base: string): FieldError[] {
  const errors = checkCondition(filter, FILTER_OPTIONS).map(({ pointer, detail }) => ({
    pointer: base + pointer,
    detail,
  }))
  return errors.length > 0 ? errors : eachLeaf(filter, base, inexactNumber, template)
}

export function checkOpenObject(field: string, value: unknown, maxBytes: number): FieldError[] {
  const bytes = Buffer.byteLength(JSON.stringify(value))
  if (bytes > maxBytes) {
    return [{ pointer: `/${field}`, detail: `must be at most ${maxBytes / 1024} KiB of JSON` }]
  }
  return eachLeaf(value, `/${field}`, inexactNumber)
}

type LeafCheck = (leaf: unknown) => string | null

function eachLeaf(value: unknown, pointer: string, ...checks: LeafCheck[]): FieldError[] {
  if (typeof value === 'object' && value !== null && !isRawNumber(value)) {
    return Object.entries(value).flatMap(([key, item]) =>
      eachLeaf(item, pointer + toPointer([key]), ...checks),
    )
  }
  const details = checks.map((check) => check(value)).filter((detail) => detail !== null)
  return details.map((detail) => ({ pointer, detail }))
}

/** Such a number would come back as another one: these values are read and written again by the service. */
function inexactNumber(leaf: unknown): string | null {
  return isRawNumber(leaf) ? 'is a number that not every JSON reader keeps exactly: send it as text' : null
}

/** The check of conditions lets templates pass, for flows. A delivery has nothing to fill them with. */
function template(leaf: unknown): string | null {
  return holdsTemplate(leaf) ? 'must be a value: templates are for flows' : null
}

const PATH_OF_DATA =
  'must be a path of the data such as customer.id or items[0].sku, without "data." before it'

export function checkOrderingKey(path: string): FieldError[] {
  return parsePath(path) === null ? [{ pointer: '/ordering_key', detail: PATH_OF_DATA }] : []
}

export function checkScopes(scopes: readonly string[]): FieldError[] {
  return scopes.flatMap((scope, index) => {
    const detail = scopeFault(scope)
    return detail === null ? [] : [{ pointer: `/scopes/${index}`, detail }]
  })
}

/** Order sends everything, coalescing only the newest: a plugin has one of them. */
export function checkCoalescing({
  events,
  ordering,
}: {
  events: readonly { coalesce?: object }[]
  ordering: string
}): FieldError[] {
  const found = ordering === 'key' ? events.findIndex(({ coalesce }) => coalesce !== undefined) : -1
  if (found < 0) return []
  const entry = `events[${found}].coalesce`
  return [
    {
      pointer: '/ordering',
      detail: `must not be "key" together with ${entry}: order sends everything, coalesce only the newest. Set one of them`,
    },
    {
      pointer: `/events/${found}/coalesce`,
      detail: 'must not be there together with "ordering": "key". Set one of them',
    },
  ]
}

/** A plugin gets only what its scopes let it read. */
export function checkWithinScopes({
  events,
  scopes,
}: {
  events: readonly { event: string }[]
  scopes: readonly string[] | null
}): FieldError[] {
  return events.flatMap(({ event }, index) =>
    mayRead(scopes ?? DEFAULT_SCOPES, event)
      ? []
      : [
          {
            pointer: `/events/${index}`,
            detail: `is not within the plugin's scopes: "events:read:${event}" is needed`,
          },
        ],
  )
}
