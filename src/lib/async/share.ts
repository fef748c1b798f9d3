/** One party alone gets 4 of 5 places, two get 4 of 9 each, and so on. */
export const OF_WHAT_IS_LEFT = 4

/**
 * Returns whether a party that has so many places may take another one of those that are left. Its share grows while
 * the others want nothing, and some are always left for the next party: places that are held for long cannot be taken
 * back.
 */
export function hasShare(own: number, left: number): boolean {
  return own < OF_WHAT_IS_LEFT * left
}

/** Returns how many of so many places a party gets that is alone. */
export function shareOfOne(places: number): number {
  return Math.ceil((places * OF_WHAT_IS_LEFT) / (OF_WHAT_IS_LEFT + 1))
}

/** Returns of how many places a party that is alone gets so many. */
export function placesForOne(share: number): number {
  return Math.ceil((share * (OF_WHAT_IS_LEFT + 1)) / OF_WHAT_IS_LEFT)
}
