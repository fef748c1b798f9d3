import type { InfiniteData } from '@tanstack/svelte-query'
import { untrack } from 'svelte'
import type { ChangeTopic } from '../../../../src/lib/change-topics.ts'
import { followChanges } from '../../api/changes.ts'
import { queryClient } from '../../api/queries.ts'
import { oneByOne } from './one-by-one.ts'
import { LOST_HINT_MS } from './refresh-on.svelte.ts'

/** So far down, new rows at the top would move the ones that are looked at. */
const SCROLLED_PX = 40

interface Page<Item> {
  data: Item[]
  next_cursor: string | null
}

interface LiveOptions<Item> {
  /** Of the list by pages that is kept up to date. */
  key: readonly unknown[]
  fetchFirst: () => Promise<Page<Item>>
  /** The topic whose changes may alter it. */
  topic: ChangeTopic
  /** The area of the rows: under the pointer or the focus they stay where they are. */
  area: HTMLElement | undefined
  /** Somebody works with the rows. */
  isHeld?: boolean
}

export interface LiveList {
  readonly isPaused: boolean
  /** The last look failed; the next one comes. */
  readonly isFailing: boolean
  /** Rows that have come and are not shown yet. */
  readonly fresh: number
  /** All of the page that was looked at is new: there may be more. */
  readonly isMore: boolean
  toggle: () => void
  /** Shows the newest page. */
  show: () => void
}

/**
 * Looks at the newest page of a list whenever the service tells that it changed. Rows that are shown change in place; new ones are put on top only
 * while that moves nothing that is looked at or worked with, and are counted otherwise.
 */
export function liveList<Item extends { id: string }>(options: () => LiveOptions<Item>): LiveList {
  let isPaused = $state(false)
  let isFailing = $state(false)
  let fresh = $state(0)
  let isMore = $state(false)
  let latest: Page<Item> | null = null
  const key = $derived(JSON.stringify(options().key))

  function forget(): void {
    latest = null
    fresh = 0
    isMore = false
  }

  function replace(page: Page<Item>): void {
    queryClient.setQueryData<InfiniteData<Page<Item>>>(options().key, {
      pages: [page],
      pageParams: [undefined],
    })
    forget()
  }

  function take(page: Page<Item>): void {
    const data = queryClient.getQueryData<InfiniteData<Page<Item>>>(options().key)
    if (data === undefined) return
    const { isHeld = false, area } = options()
    const isUsed = isHeld || area?.matches(':hover, :focus-within') === true
    const isTouched = isUsed || data.pages.length > 1 || scrollY > SCROLLED_PX
    if (!isTouched) {
      replace(page)
      return
    }
    const news = new Map(page.data.map((item) => [item.id, item]))
    const pages = data.pages.map((old) => ({
      ...old,
      data: old.data.map((item) => news.get(item.id) ?? item),
    }))
    queryClient.setQueryData<InfiniteData<Page<Item>>>(options().key, { ...data, pages })
    for (const item of data.pages.flatMap((old) => old.data)) news.delete(item.id)
    latest = page
    fresh = news.size
    isMore = news.size > 0 && news.size === page.data.length && page.next_cursor !== null
  }

  async function look(isOver: () => boolean): Promise<void> {
    try {
      const page = await options().fetchFirst()
      if (isOver()) return
      isFailing = false
      take(page)
    } catch {
      if (!isOver()) isFailing = true
    }
  }

  $effect(() => {
    forget()
    if (key === '' || isPaused) return
    const looks = oneByOne(look)
    const lookIfSeen = (): void => {
      if (!document.hidden) looks.look()
    }
    const stop = followChanges([untrack(() => options().topic)], lookIfSeen)
    const timer = setInterval(lookIfSeen, LOST_HINT_MS)
    return () => {
      // Of another list, shop or moment: an answer that is still under way comes too late.
      looks.end()
      stop()
      clearInterval(timer)
    }
  })

  return {
    get isPaused() {
      return isPaused
    },
    get isFailing() {
      return isFailing
    },
    get fresh() {
      return fresh
    },
    get isMore() {
      return isMore
    },
    toggle: () => (isPaused = !isPaused),
    show: () => {
      if (latest !== null) replace(latest)
      scrollTo(0, 0)
    },
  }
}
