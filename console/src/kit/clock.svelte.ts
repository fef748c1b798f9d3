const TICK_MS = 10_000

/** The time that relative times are told against; it moves on for all of them at once. */
class Clock {
  now = $state(Date.now())

  constructor() {
    setInterval(() => (this.now = Date.now()), TICK_MS)
  }
}

export const clock = new Clock()
