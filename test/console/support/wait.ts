import { setTimeout as pause } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Locator } from 'playwright-core'
import type { Test } from 'tap'

/** Much longer than a page takes, even beside other tests: only a failure waits for it. */
const PATIENCE_MS = 20_000
const LOOK_MS = 20
/** So many looks in a row, with two frames between them, find an element where it was. */
const STILL_LOOKS = 3

export interface Box {
  x: number
  y: number
  width: number
  height: number
}

/**
 * Asserts that the answer becomes the one that is wanted. What a page shows follows an action by a frame, a request or a
 * message, so one look is no proof that it does not.
 */
export async function becomes<T>(
  t: Test,
  ask: () => Promise<T> | T,
  wanted: T,
  message = 'it becomes what is wanted',
): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  let answer = await ask()
  while (!isDeepStrictEqual(answer, wanted) && performance.now() < deadline) {
    await pause(LOOK_MS)
    answer = await ask()
  }
  t.strictSame(answer, wanted, message)
}

/**
 * Returns the place of an element once it keeps it: a canvas moves its cards while the page around it finds its size.
 *
 * @throws {Error} for one that is not shown, or that never stands still
 */
export async function boxOf(locator: Locator): Promise<Box> {
  const deadline = performance.now() + PATIENCE_MS
  let last: Box | null = null
  let looks = 0
  while (performance.now() < deadline) {
    await locator.evaluate(
      `new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(() => seen(null))))`,
    )
    const box = await locator.boundingBox()
    if (box === null) throw new Error('it is not shown')
    looks = isDeepStrictEqual(box, last) ? looks + 1 : 1
    if (looks === STILL_LOOKS) return box
    last = box
  }
  throw new Error('it does not stand still')
}

export async function middleOf(locator: Locator): Promise<{ x: number; y: number }> {
  const { x, y, width, height } = await boxOf(locator)
  return { x: x + width / 2, y: y + height / 2 }
}
