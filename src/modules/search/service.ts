import type { Kysely, Transaction } from 'kysely'
import { isStalled } from '#db/errors.ts'
import type { DB } from '#db/schema.ts'
import { type Actor, hasRole } from '#infra/auth/auth.ts'
import { isUuid } from '#lib/ids.ts'
import { CATALOGUE } from '#modules/event/index.ts'
import {
  findAuditEntries,
  findCalls,
  findDeliveries,
  findEvents,
  findExecutions,
  findFlows,
  findMessages,
  findPlugins,
  findTypes,
  type Found,
  limitTime,
  type Sought,
} from './repository.ts'
import { type Hit, MAX_HITS, type SearchResult } from './schemas.ts'

export interface SearchContext {
  db: Kysely<DB>
  /** For all that is looked for together. */
  timeMs: number
}

/** Of one kind, one more of which says that there are more. */
const MAX_OF_KIND = 5

const PAGES: Record<Hit['kind'], string> = {
  plugin: '/plugins/',
  flow: '/flows/',
  event_type: '/catalogue/',
  event: '/events/',
  execution: '/runs/',
  delivery: '/deliveries/',
  message: '/messages/',
  call: '/calls/',
  audit_entry: '/audit/',
}

export async function search(
  ctx: SearchContext,
  tenantId: string,
  by: Pick<Actor, 'pluginId' | 'role'>,
  text: string,
): Promise<SearchResult> {
  const { pluginId } = by
  const id = isUuid(text) ? text.toLowerCase() : null
  const sought: Sought = { tenantId, pluginId, text, id, limit: MAX_OF_KIND + 1 }
  const data: Hit[] = []
  let complete = true
  const add = (kind: Hit['kind'], found: readonly Found[]): void => {
    if (found.length > MAX_OF_KIND) complete = false
    for (const each of found.slice(0, MAX_OF_KIND)) {
      if (data.length === MAX_HITS) complete = false
      else data.push({ kind, ...each, path: `${PAGES[kind]}${encodeURIComponent(each.id)}` })
    }
  }
  const end = performance.now() + ctx.timeMs
  try {
    await ctx.db.transaction().execute(async (trx) => {
      for (const [kind, find] of finds(by, id !== null)) {
        const leftMs = Math.floor(end - performance.now())
        if (leftMs < 1) {
          complete = false
          return
        }
        await limitTime(trx, leftMs)
        add(kind, await find(trx, sought))
      }
    })
  } catch (error) {
    if (!isStalled(error)) throw error
    complete = false
  }
  return { data, complete }
}

type Find = (trx: Transaction<DB>, sought: Sought) => Promise<Found[]>

/** Lists the searches in order; the first ones find something even where time runs out. */
function finds(by: Pick<Actor, 'pluginId' | 'role'>, isId: boolean): [Hit['kind'], Find][] {
  const own: [Hit['kind'], Find][] = [['plugin', findPlugins]]
  if (isId) own.push(['delivery', findDeliveries])
  if (by.pluginId !== null) return own
  if (isId) own.push(['call', findCalls])
  if (isId && hasRole(by, 'admin')) own.push(['audit_entry', findAuditEntries])
  return [
    ...own,
    ['flow', findFlows],
    ['event', findEvents],
    ['execution', findExecutions],
    ['message', findMessages],
    ['event_type', async (trx, sought) => typesOf(sought.text, await findTypes(trx, sought))],
  ]
}

/** With those of the catalogue, which are in no table. */
function typesOf(text: string, stored: readonly Found[]): Found[] {
  const known = [...CATALOGUE.keys()].filter((name) => name.startsWith(text.toLowerCase()))
  const names = new Set([...known, ...stored.map(({ id }) => id)])
  return [...names].sort().map((name) => ({ id: name, title: name }))
}
