import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { now } from '#lib/clock.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import { type EventTypeUsage, MAX_USERS } from './schemas.ts'
import { selectListeners, selectSubscribers, selectTraffic, type Subscriber } from './usage-repository.ts'

/** Says of each type when it came last and how often, and who takes it; by a plugin's key of that plugin alone. */
export async function usageOf(
  db: Kysely<DB>,
  actor: Actor,
  tenantId: string,
  names: readonly string[],
): Promise<Map<string, EventTypeUsage>> {
  if (names.length === 0) return new Map()
  const traffic = await selectTraffic(db, tenantId, names, now())
  const subscribers = await selectSubscribers(db, tenantId, actor.pluginId)
  const listeners = actor.pluginId === null ? await selectListeners(db, tenantId, names) : []
  const slugsOf = byPattern(subscribers)
  const usage = new Map<string, EventTypeUsage>()
  for (const { name, ...figures } of traffic) {
    const turn = loopShare.turn(tenantId)
    if (turn !== null) await turn
    const plugins = new Set(patternsFor(name).flatMap((pattern) => slugsOf.get(pattern) ?? []))
    const flows = listeners.filter(({ event }) => event === name).slice(0, MAX_USERS)
    usage.set(name, {
      ...figures,
      plugins: [...plugins].sort().slice(0, MAX_USERS),
      flows: flows.map((flow) => ({ id: flow.id, name: flow.name })),
    })
  }
  return usage
}

/** The slugs that subscribe to a pattern, by pattern: a type is then looked up, however many subscriptions there are. */
function byPattern(subscribers: readonly Subscriber[]): Map<string, string[]> {
  const slugs = new Map<string, string[]>()
  for (const { slug, subscriptions } of subscribers) {
    for (const { event } of subscriptions) {
      const known = slugs.get(event)
      if (known === undefined) slugs.set(event, [slug])
      else known.push(slug)
    }
  }
  return slugs
}

/** All patterns that match a type: `*`, `a.*` and `a.b.*` beside `a.b.c` itself. */
function patternsFor(name: string): string[] {
  const segments = name.split('.')
  return ['*', name, ...segments.slice(1).map((_, index) => `${segments.slice(0, index + 1).join('.')}.*`)]
}
