export interface Looks {
  /** Looks now; while a look is under way, once more after it, however often this is called meanwhile. */
  look: () => void
  /** No other look begins. */
  end: () => void
}

/**
 * Looks one at a time, so that hints which come faster than answers do not keep any answer from coming.
 *
 * @param lookOnce does not reject; is told whether the looks have ended meanwhile
 */
export function oneByOne(lookOnce: (isOver: () => boolean) => Promise<void>): Looks {
  let isLooking = false
  let isDue = false
  let isEnded = false
  const isOver = (): boolean => isEnded
  const goOn = async (): Promise<void> => {
    isDue = true
    if (isLooking) return
    isLooking = true
    while (isDue && !isOver()) {
      isDue = false
      await lookOnce(isOver)
    }
    isLooking = false
  }
  return { look: () => void goOn(), end: () => (isEnded = true) }
}
