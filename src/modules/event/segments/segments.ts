import { CATALOGUE } from '../catalogue/index.ts'

/** Segments that the platform may come to send beside those of its catalogue: a plugin that said so would be believed. */
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
  ...[...CATALOGUE.keys()].map(segmentOf),
  ...RESERVED_SEGMENTS,
])

/** Segments that one plugin may claim; an admin may give it more. */
export const MAX_CLAIMS = 50

export type SegmentOwner =
  | { kind: 'platform' | 'shop' }
  /** Nobody's: the first plugin that comes may claim it. */
  | { kind: 'none' }
  | { kind: 'plugin'; pluginId: string }

export interface SegmentContent {
  /** Segments that were claimed, or are kept for the shop. */
  claims: readonly { segment: string; pluginId: string | null }[]
  plugins: readonly { id: string; slug?: string }[]
  /** Segments of types that the shop has declared or sent itself. */
  ofShop: readonly string[]
}

/** The owners of the first segments of a tenant's event types. */
export class Segments {
  readonly #claims: ReadonlyMap<string, string | null>
  readonly #slugs: ReadonlyMap<string, string>
  readonly #ofShop: ReadonlySet<string>

  constructor({ claims, plugins, ofShop }: SegmentContent) {
    this.#claims = new Map(claims.map(({ segment, pluginId }) => [segment, pluginId]))
    this.#slugs = new Map(plugins.map(({ id, slug }) => [slug?.replaceAll('-', '_') ?? id, id]))
    this.#ofShop = new Set(ofShop)
  }

  /** A claim stands before a slug: it was there first, or an admin has decided. */
  ownerOf(segment: string): SegmentOwner {
    if (isPlatformSegment(segment)) return { kind: 'platform' }
    const pluginId =
      this.#claims.get(segment) ?? (this.#claims.has(segment) ? null : this.#slugs.get(segment))
    if (pluginId === null) return { kind: 'shop' }
    if (pluginId !== undefined) return { kind: 'plugin', pluginId }
    return { kind: this.#ofShop.has(segment) ? 'shop' : 'none' }
  }

  /**
   * True if the publisher of an event of the type is the one from whom such events come: the platform and the shop always,
   * a plugin below a segment of its own.
   *
   * @param publisher a plugin's UUID, or `platform`
   */
  isSpokenBy(type: string, publisher: string): boolean {
    if (publisher === 'platform') return true
    const owner = this.ownerOf(segmentOf(type))
    return owner.kind === 'plugin' && owner.pluginId === publisher
  }

  /** The plugin is there. */
  hasPlugin(pluginId: string): boolean {
    return [...this.#slugs.values()].includes(pluginId)
  }

  /** Those of the segments that are nobody's and that the plugin may claim, as many as it may have. */
  claimable(pluginId: string, names: readonly string[]): string[] {
    const free = [...new Set(names)].filter((name) => this.ownerOf(name).kind === 'none')
    return free.slice(0, Math.max(0, MAX_CLAIMS - this.countOf(pluginId)))
  }

  countOf(pluginId: string): number {
    return [...this.#claims.values()].filter((each) => each === pluginId).length
  }
}

export function isPlatformSegment(segment: string): boolean {
  return PLATFORM_SEGMENTS.has(segment)
}

/** As everybody reads it: what looks like another's name is no name of one's own. */
export function segmentOf(type: string): string {
  return (type.split(/[./]/, 1)[0] ?? type).toLowerCase().replaceAll('-', '_')
}
