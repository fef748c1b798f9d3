import type { Problem } from '#lib/api/problem.ts'
import { eventTypeForbidden } from '../errors.ts'
import { MAX_CLAIMS, segmentOf } from '../segments/segments.ts'
import type { TenantSnapshot } from './snapshot.ts'

/**
 * Why a plugin's own key may not publish events of the type; null: it may. A plugin publishes below its slug and below
 * segments that it has claimed; in a strict shop, only what is declared there.
 */
export function refusePublishing(snapshot: TenantSnapshot, event: string, pluginId: string): Problem | null {
  const segment = segmentOf(event)
  const owner = snapshot.segments.ownerOf(segment)
  switch (owner.kind) {
    case 'platform':
      return eventTypeForbidden(`Types that begin with "${segment}" are the platform's: choose another name.`)
    case 'shop':
      return eventTypeForbidden(
        `Types that begin with "${segment}" are the shop's own: choose another name, or ask an admin to give the ` +
          `plugin the segment by PUT /api/event-segments/${segment}.`,
      )
    case 'plugin':
      if (owner.pluginId !== pluginId) {
        return eventTypeForbidden(
          `Types that begin with "${segment}" are another plugin's: choose another first segment.`,
        )
      }
      break
    case 'none':
      if (!snapshot.strict && snapshot.segments.countOf(pluginId) >= MAX_CLAIMS) {
        return eventTypeForbidden(
          `The plugin has claimed ${MAX_CLAIMS} first segments of event types, as many as it may: use one of them.`,
        )
      }
  }
  if (snapshot.strict && !snapshot.types.has(event)) {
    return eventTypeForbidden('The shop takes only known types: declare it as a trigger in the manifest.')
  }
  return owner.kind === 'none' ? eventTypeForbidden(`"${segment}" is nobody's yet.`) : null
}

/** The segment that the plugin has to claim to publish the type; null: it may not, or need not. */
export function segmentToClaim(snapshot: TenantSnapshot, event: string, pluginId: string): string | null {
  const segment = segmentOf(event)
  if (snapshot.strict || snapshot.segments.ownerOf(segment).kind !== 'none') return null
  return snapshot.segments.countOf(pluginId) < MAX_CLAIMS ? segment : null
}
