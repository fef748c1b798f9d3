import { createHash } from 'node:crypto'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { pluginNotFound } from '#modules/plugin/index.ts'
import type { RegistryAction } from './action.ts'
import {
  type ActionIndex,
  type ActionOrder,
  compareKeys,
  type OrderedAction,
  type OrderKey,
  putInOrder,
} from './action-index.ts'
import { PLATFORM_ACTIONS } from './platform-actions.ts'
import type { ActionQuery } from './schemas.ts'
import type { VersionCache } from './version-cache.ts'

export interface ActionList {
  data?: RegistryAction[]
  groups?: { name: string | null; actions: RegistryAction[] }[]
  next_cursor: string | null
}

/** The caller and its query as it stands in the URL: another URL is another ETag. */
export interface Question {
  tenantId: string
  actor: Pick<Actor, 'pluginId'>
  url: string
  /** The If-None-Match header. */
  known: string | undefined
}

export interface TaggedList {
  etag: string
  /** Null: the caller's copy still holds. */
  list: ActionList | null
}

/** The platform's table belongs to the release, not to the database. */
const TABLE = JSON.stringify(PLATFORM_ACTIONS)

/** All actions that the caller may know of; a plugin's own key sees the platform's and its own. */
export async function listActions(
  cache: VersionCache<ActionIndex>,
  question: Question,
  query: ActionQuery,
): Promise<TaggedList> {
  return tagged(cache, question, (index) => {
    const { pluginId } = question.actor
    const plugin = query.plugin === undefined ? undefined : pluginIdOf(index, query.plugin)
    return select(index.inOrder(query.group ?? 'action'), query, (action) => {
      if (pluginId !== null && action.plugin_id !== null && action.plugin_id !== pluginId) return false
      if (query.source !== undefined && action.source !== query.source) return false
      return plugin === undefined || action.plugin_id === plugin.id
    })
  })
}

/** @throws `plugin_not_found` */
export async function listPluginActions(
  cache: VersionCache<ActionIndex>,
  question: Question,
  slug: string,
  query: Omit<ActionQuery, 'group' | 'plugin' | 'source'>,
): Promise<TaggedList> {
  return tagged(cache, question, (index) => {
    const plugin = index.plugin(slug)
    const { pluginId } = question.actor
    if (plugin?.slug !== slug || (pluginId !== null && pluginId !== plugin.id)) throw pluginNotFound()
    return select(putInOrder('action', plugin.byType.values()), query, () => true)
  })
}

async function tagged(
  cache: VersionCache<ActionIndex>,
  { tenantId, actor, url, known }: Question,
  list: (index: ActionIndex) => ActionList,
): Promise<TaggedList> {
  const version = await cache.version(tenantId)
  const etag = etagOf([TABLE, tenantId, String(version), actor.pluginId ?? '', url])
  if (known !== undefined && isNamed(known, etag)) return { etag, list: null }
  return { etag, list: list(await cache.at(tenantId, version)) }
}

export function etagOf(parts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return `"${hash.digest('base64url').slice(0, 27)}"`
}

/** Proxies that compress make an ETag weak; for a GET it names the same answer. */
export function isNamed(ifNoneMatch: string, etag: string): boolean {
  return ifNoneMatch.split(',').some((tag) => ['*', etag].includes(tag.trim().replace(/^W\//, '')))
}

/** `id` null: the platform; undefined, as the result: nobody of this name. */
function pluginIdOf(index: ActionIndex, ref: string): { id: string | null } {
  return { id: ref === 'platform' ? null : (index.plugin(ref)?.id ?? '') }
}

function select(
  actions: readonly OrderedAction[],
  query: Omit<ActionQuery, 'plugin' | 'source'>,
  isAskedFor: (action: RegistryAction) => boolean,
): ActionList {
  const order: ActionOrder = query.group ?? 'action'
  const q = query.q?.toLowerCase()
  const found: OrderedAction[] = []
  for (let at = query.cursor === undefined ? 0 : startAfter(actions, order, query.cursor); ; at++) {
    const ordered = actions[at]
    if (ordered === undefined || found.length > query.limit) break
    if (query.category !== undefined && ordered.action.category !== query.category) continue
    if (isAskedFor(ordered.action) && (q === undefined || ordered.text.includes(q))) found.push(ordered)
  }
  const { data, next_cursor } = page(found, query.limit, ({ key }) => [order, ...key])
  const shown = data.map(({ action }) => action)
  if (query.group === undefined) return { data: shown, next_cursor }
  const groups = Map.groupBy(shown, (action) => (order === 'plugin' ? action.plugin : action.category))
  return { groups: [...groups].map(([name, actions]) => ({ name, actions })), next_cursor }
}

/** Finds the index of the first action behind the cursor, by halving. */
function startAfter(actions: readonly OrderedAction[], order: ActionOrder, cursor: string): number {
  const parts = decodeCursor(cursor, ['string', 'string', 'string', 'string'])
  if (parts === null || parts[0] !== order) throw invalidCursor()
  const key = parts.slice(1) as unknown as OrderKey
  let low = 0
  let high = actions.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const ordered = actions[middle]
    if (ordered !== undefined && compareKeys(ordered.key, key) <= 0) low = middle + 1
    else high = middle
  }
  return low
}
