import type { Problem } from '#lib/api/problem.ts'
import { CATALOGUE } from '../catalogue/index.ts'
import { eventTypeForbidden } from '../errors.ts'
import type { TenantPicture } from './snapshot.ts'

/** What the platform may come to send beside what its catalogue has: a plugin that said so would be believed. */
const RESERVED_SEGMENTS = [
  'account',
  'cart',
  'checkout',
  'collection',
  'coupon',
  'discount',
  'fulfillment',
  'gift_card',
  'inventory_item',
  'invoice',
  'payment',
  'payout',
  'platform',
  'price',
  'refund',
  'return',
  'shipment',
  'shop',
  'store',
  'subscription',
  'system',
  'tax',
  'tenant',
  'transaction',
  'user',
]
const PLATFORM_SEGMENTS: ReadonlySet<string> = new Set([
  ...[...CATALOGUE.keys()].map(firstSegment),
  ...RESERVED_SEGMENTS,
])

/** Whether the name says that the platform, the shop or this service tells of it: no plugin may, whatever it declares. */
export function isPlatformType(event: string): boolean {
  return PLATFORM_SEGMENTS.has(firstSegment(event))
}

/**
 * Why a plugin's own key may not publish events of the type; null: it may. The platform's names are nobody's, also
 * where a manifest declares them; else what the plugin has declared is its own. What
 * nobody has declared anybody may publish in a lenient shop, unless the name says that it is another's.
 */
export function refusePublishing(picture: TenantPicture, event: string, pluginId: string): Problem | null {
  const segment = firstSegment(event)
  if (isPlatformType(event)) {
    return eventTypeForbidden(`Types that begin with "${segment}" are the platform's: choose another name.`)
  }
  const declared = picture.types.get(event)
  if (declared?.pluginId === pluginId) return null
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
