const TICK_MS = 10_000

/** The time that relative times are told against; it moves on for all of them at once. */
class Clock {
  now = $state(Date.now())

  constructor() {
    setInterval(() => (this.now = Date.now()), TICK_MS)
  }
}

export const clock = new Clock()

/** Counts the seconds until a time down, while it is looked at. */
export function secondsUntil(time: () => number): { readonly left: number } {
  const leftOf = (): number => Math.max(0, Math.ceil((time() - Date.now()) / 1_000))
  let left = $state(leftOf())
  $effect(() => {
    left = leftOf()
    const timer = setInterval(() => (left = leftOf()), 500)
    return () => clearInterval(timer)
  })
  return {
    get left() {
      return left
    },
  }
}
