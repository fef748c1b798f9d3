import type { Point } from '../flow/document.ts'

interface Drag {
  /** Holds the pointer once it has begun, where the element that was pressed may leave the page; null: that one does. */
  holder?: Element | null
  /** It has begun. */
  lift: () => void
  /** By places of the window, as all of them. */
  move: (at: Point) => void
  drop: (at: Point) => void
  /** It came to nothing: Escape, or the browser took the pointer. */
  cancel: () => void
}

/** Less is a click that was not held still. */
const FAR = 6

/** One thing is dragged at a time. */
let isFollowing = false

/**
 * Follows a pointer that was pressed on an element until it is let go. A click that is held still stays one. The window
 * is listened to, since the element may leave the page meanwhile, and its capture of the pointer with it: then the drag
 * comes to nothing.
 */
export function followPointer(pressed: PointerEvent, element: Element, drag: Drag): void {
  if (isFollowing) return
  isFollowing = true
  const { pointerId, clientX: startX, clientY: startY } = pressed
  const ended = new AbortController()
  const { signal } = ended
  let isLifted = false
  let holder = element
  element.setPointerCapture(pointerId)

  const end = (): void => {
    isFollowing = false
    ended.abort()
    if (holder.hasPointerCapture(pointerId)) holder.releasePointerCapture(pointerId)
  }
  const cancel = (): void => {
    end()
    if (isLifted) drag.cancel()
  }
  const on = (type: string, listener: (event: PointerEvent) => void): void =>
    addEventListener(
      type,
      (event) => {
        if (event instanceof PointerEvent && event.pointerId === pointerId) listener(event)
      },
      { signal, capture: true },
    )

  on('pointermove', ({ clientX: x, clientY: y, buttons }) => {
    // It was let go where the page was not told.
    if (buttons === 0) {
      cancel()
      return
    }
    if (!isLifted) {
      if (Math.hypot(x - startX, y - startY) < FAR) return
      isLifted = true
      holder = drag.holder ?? element
      holder.setPointerCapture(pointerId)
      drag.lift()
    }
    drag.move({ x, y })
  })
  on('pointerup', ({ clientX: x, clientY: y }) => {
    end()
    if (!isLifted) return
    swallowClick(pointerId).soon()
    drag.drop({ x, y })
  })
  on('pointercancel', cancel)
  on('lostpointercapture', ({ target }) => {
    if (target === holder || holder === element) cancel()
  })
  addEventListener(
    'keydown',
    (event) => {
      if (event.key !== 'Escape' || !isLifted) return
      event.preventDefault()
      event.stopPropagation()
      swallowClick(pointerId).onceLetGo()
      cancel()
    },
    { signal, capture: true },
  )
}

/** What was dragged was not clicked: the pointer's click, which comes with its being let go, is kept from the page. */
function swallowClick(pointerId: number): { soon: () => void; onceLetGo: () => void } {
  const done = new AbortController()
  const { signal } = done
  addEventListener(
    'click',
    (event) => {
      // Some browsers do not say whose it is. Keys click as well.
      if (event instanceof PointerEvent && event.pointerId !== pointerId) return
      event.stopPropagation()
      event.preventDefault()
    },
    { signal, capture: true },
  )
  const soon = (): void => void setTimeout(() => done.abort())
  const onceLetGo = (): void => {
    for (const type of ['pointerup', 'pointercancel']) {
      addEventListener(
        type,
        (event) => {
          if (event instanceof PointerEvent && event.pointerId === pointerId) soon()
        },
        { signal, capture: true },
      )
    }
  }
  return { soon, onceLetGo }
}
