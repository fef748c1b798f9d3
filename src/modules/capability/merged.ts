import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { CATALOGUE } from '#modules/event/index.ts'
import {
  etagOf,
  isNamed,
  type Snapshot,
  type RegistryAction,
  type VersionCache,
} from '#modules/registry/index.ts'
import { selectManifests } from './repository.ts'
import {
  CAPABILITY_KINDS,
  type CapabilityCondition,
  type CapabilityPage,
  type CapabilityQuery,
  type CapabilityTrigger,
} from './schemas.ts'

/** A tenant's triggers and conditions, the platform's first, then by plugin, each as its manifest has them. */
export interface CapabilitySnapshot extends Snapshot {
  triggers: readonly CapabilityTrigger[]
  conditions: readonly CapabilityCondition[]
}

type Kind = (typeof CAPABILITY_KINDS)[number]
type Item = CapabilityTrigger | RegistryAction | CapabilityCondition

const PLATFORM_TRIGGERS: readonly CapabilityTrigger[] = [...CATALOGUE.values()]
  .map(({ name, description, schema }): CapabilityTrigger => ({
    id: name,
    name,
    description,
    source: 'platform',
    plugin: null,
    plugin_id: null,
    plugin_active: true,
    event_types: [name],
    event_owners: { [name]: 'platform' },
    output_schema: schema,
  }))
  .sort((a, b) => (a.id < b.id ? -1 : 1))
/** The platform's part belongs to the release, not to the database. */
const RELEASE = JSON.stringify(PLATFORM_TRIGGERS)

export async function loadCapabilitySnapshot(db: Kysely<DB>, tenantId: string): Promise<CapabilitySnapshot> {
  const rows = await selectManifests(db, tenantId)
  const triggers = rows.flatMap(({ plugin, plugin_id, plugin_active, manifest, own_event_types: own }) =>
    sortById(manifest.capabilities.triggers).map((trigger): CapabilityTrigger => ({
      ...trigger,
      event_owners: ownersOf(trigger.event_types, own),
      source: 'plugin',
      plugin,
      plugin_id,
      plugin_active,
    })),
  )
  const conditions = rows.flatMap(({ plugin, plugin_id, plugin_active, manifest }) =>
    sortById(manifest.capabilities.conditions).map((condition) => ({
      ...condition,
      plugin,
      plugin_id,
      plugin_active,
    })),
  )
  return {
    triggers: [...PLATFORM_TRIGGERS, ...triggers],
    conditions,
    weight: rows.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

function ownersOf(types: readonly string[], own: readonly string[]): CapabilityTrigger['event_owners'] {
  return Object.fromEntries(
    types.map((type) => [type, CATALOGUE.has(type) ? 'platform' : own.includes(type) ? 'plugin' : 'other']),
  )
}

export interface Question {
  tenantId: string
  /** As it was asked: another URL is another ETag. */
  url: string
  /** The If-None-Match header. */
  known: string | undefined
}

export async function listCapabilities(
  cache: VersionCache<CapabilitySnapshot>,
  actionsOf: (tenantId: string) => Promise<readonly RegistryAction[]>,
  { tenantId, url, known }: Question,
  query: CapabilityQuery,
): Promise<{ etag: string; page: CapabilityPage | null }> {
  const version = await cache.version(tenantId)
  const etag = etagOf([RELEASE, tenantId, String(version), url])
  if (known !== undefined && isNamed(known, etag)) return { etag, page: null }
  const [snapshot, actions] = await Promise.all([cache.at(tenantId, version), actionsOf(tenantId)])
  return { etag, page: select({ ...snapshot, actions }, query) }
}

function select(lists: Record<Kind, readonly Item[]>, query: CapabilityQuery): CapabilityPage {
  const after =
    query.cursor === undefined ? null : decodeCursor(query.cursor, ['integer', 'string', 'string'])
  if (after === null && query.cursor !== undefined) throw invalidCursor()
  const found: { kind: Kind; item: Item }[] = []
  for (const [at, kind] of CAPABILITY_KINDS.entries()) {
    if (query.kind !== undefined && query.kind !== kind) continue
    if (after !== null && at < Number(after[0])) continue
    const behind = after !== null && at === Number(after[0]) ? after : null
    for (const item of lists[kind]) {
      if (found.length > query.limit) break
      if ((behind === null || isBehind(item, behind)) && isAskedFor(item, query)) found.push({ kind, item })
    }
  }
  const { data, next_cursor } = page(found, query.limit, ({ kind, item }) => [
    CAPABILITY_KINDS.indexOf(kind),
    item.plugin ?? '',
    idOf(item),
  ])
  const of = (kind: Kind): Item[] => data.filter((each) => each.kind === kind).map(({ item }) => item)
  return {
    triggers: of('triggers') as CapabilityTrigger[],
    actions: of('actions') as RegistryAction[],
    conditions: of('conditions') as CapabilityCondition[],
    next_cursor,
  }
}

function isBehind(item: Item, [, plugin = '', id = '']: readonly (string | number)[]): boolean {
  const slug = item.plugin ?? ''
  return slug === plugin ? idOf(item) > id : slug > plugin
}

function isAskedFor(item: Item, { source, plugin, q }: CapabilityQuery): boolean {
  if (source !== undefined && (item.plugin === null ? 'platform' : 'plugin') !== source) return false
  if (plugin !== undefined && !isOf(item, plugin)) return false
  if (q === undefined) return true
  const name = 'name' in item ? item.name : item.title
  return [idOf(item), name, item.description].some((text) => text.toLowerCase().includes(q.toLowerCase()))
}

function isOf(item: Item, plugin: string): boolean {
  if (plugin === 'platform') return item.plugin === null
  return item.plugin === plugin || item.plugin_id === plugin.toLowerCase()
}

function idOf(item: Item): string {
  return 'id' in item ? item.id : item.action_type
}

function sortById<T extends { id: string }>(items: readonly T[]): T[] {
  return items.toSorted((a, b) => (a.id < b.id ? -1 : 1))
}
