import { createInfiniteQuery, QueryClient } from '@tanstack/svelte-query'
import { ApiProblem } from './problem.ts'

const STALE_MS = 5_000

/**
 * Tells whether a failure may pass, and another try is worth it: the service refuses again what it refused by rights
 * or by form.
 */
function mayPass(failures: number, error: Error): boolean {
  const isRefusal = error instanceof ApiProblem && error.status >= 400 && error.status < 500
  return !isRefusal && failures < 2
}

/** Keeps the object of an equal answer; the library's own way takes exact numbers apart. */
function keepEqual(before: unknown, now: unknown): unknown {
  return JSON.stringify(before) === JSON.stringify(now) ? before : now
}

export const queryClient = new QueryClient({
  defaultOptions: { queries: { staleTime: STALE_MS, retry: mayPass, structuralSharing: keepEqual } },
})

/** Reads anew what is shown, by the first words of the keys; by default all of it. */
export async function refresh(names?: readonly string[]): Promise<void> {
  await queryClient.invalidateQueries({
    predicate: ({ queryKey }) => names === undefined || names.includes(String(queryKey[0])),
  })
}

interface Page<Item> {
  data: Item[]
  next_cursor: string | null
}

export interface PagedOptions<Item> {
  key: readonly unknown[]
  fetchPage: (cursor: string | undefined) => Promise<Page<Item>>
  /** The milliseconds between looks, always the same or by the pages that are shown. */
  refetchInterval?: number | false | ((pages: readonly Page<Item>[]) => number | false)
  isEnabled?: boolean
}

/**
 * A list by pages, from the newest to the last that has been asked for: the cursor is the place, nothing is counted.
 */
export function pagedQuery<Item>(options: () => PagedOptions<Item>) {
  return createInfiniteQuery(() => {
    const { key, fetchPage, refetchInterval = false, isEnabled = true } = options()
    return {
      queryKey: key,
      queryFn: ({ pageParam }: { pageParam: string | undefined }) => fetchPage(pageParam),
      initialPageParam: undefined as string | undefined,
      getNextPageParam: (page: Page<Item>) => page.next_cursor ?? undefined,
      refetchInterval: ({ state }: { state: { data: { pages: Page<Item>[] } | undefined } }) =>
        typeof refetchInterval === 'function' ? refetchInterval(state.data?.pages ?? []) : refetchInterval,
      enabled: isEnabled,
    }
  })
}

export type PagedQuery<Item> = ReturnType<typeof pagedQuery<Item>>
