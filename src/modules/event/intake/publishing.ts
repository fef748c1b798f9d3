import type { Problem } from '#lib/api/problem.ts'
import { CATALOGUE } from '../catalogue/index.ts'
import { eventTypeForbidden } from '../errors.ts'
import type { TenantPicture } from './snapshot.ts'

const PLATFORM_SEGMENTS: ReadonlySet<string> = new Set([...CATALOGUE.keys()].map(firstSegment))

/**
 * Why a plugin's own key may not publish events of the type; null: it may. What it has declared is its own. What
 * nobody has declared anybody may publish in a lenient shop, unless the name says that it is another's.
 */
export function refusePublishing(picture: TenantPicture, event: string, pluginId: string): Problem | null {
  const declared = picture.types.get(event)
  if (declared?.pluginId === pluginId) return null
  const segment = firstSegment(event)
  if (PLATFORM_SEGMENTS.has(segment)) {
    return eventTypeForbidden(`Types that begin with "${segment}" are the platform's: choose another name.`)
  }
  if (declared !== undefined) {
    const whose = declared.pluginId === null ? 'the shop itself' : 'another plugin'
    return eventTypeForbidden(`The type was declared by ${whose}: choose another name.`)
  }
  if (picture.strict) {
    return eventTypeForbidden('The shop takes only known types: declare it as a trigger in the manifest.')
  }
  const named = picture.pluginNamed(segment.replaceAll('-', '_'))
  if (named !== undefined && named !== pluginId) {
    return eventTypeForbidden(`"${segment}" is another plugin's slug: choose another first segment.`)
  }
  return null
}

/** As everybody reads it: what looks like another's name is no name of one's own. */
function firstSegment(type: string): string {
  return (type.split(/[./]/, 1)[0] ?? type).toLowerCase()
}
