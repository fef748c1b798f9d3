import { createQuery, keepPreviousData } from '@tanstack/svelte-query'
import { api, ask, type Schema } from '../api/client.ts'

export type PastEvent = Schema['Event']

const SHOWN = 20
/** One question for each type; where there are more, all events are asked for. */
const MOST_TYPES = 10
const ID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i

export function isEventId(text: string): boolean {
  return ID.test(text)
}

/** The newest events of some types, or those whose id, or the sender's, begins so. A whole id is found whatever its type. */
export function newestEventsQuery(options: () => { types: readonly string[]; search: string }) {
  return createQuery(() => {
    const { types, search } = options()
    return {
      queryKey: ['past-events', types, search],
      queryFn: async () => newestEvents(types, search),
      placeholderData: keepPreviousData,
    }
  })
}

/** Those whose content is still there, newest first. @param count at most 100 */
export async function newestEvents(
  types: readonly string[],
  search = '',
  count = SHOWN,
): Promise<PastEvent[]> {
  const isAny = types.length === 0 || types.length > MOST_TYPES || isEventId(search)
  const pages = await Promise.all(
    (isAny ? [null] : types).map(async (event) => {
      const query = { order: 'desc', limit: count, ...(event !== null && { event }) } as const
      return ask(
        api.GET('/api/events', { params: { query: { ...query, ...(search !== '' && { q: search }) } } }),
      )
    }),
  )
  const found = new Map(pages.flatMap(({ data }) => data).map((event) => [event.id, event]))
  return [...found.values()]
    .filter(({ body_gone: gone }) => gone == null)
    .sort((one, other) => other.received_at.localeCompare(one.received_at))
    .slice(0, count)
}

/** One event by its id; with an empty one nothing is asked. */
export function pastEventQuery(id: () => string) {
  return createQuery(() => ({
    queryKey: ['past-event', id()],
    queryFn: async (): Promise<PastEvent> =>
      ask(api.GET('/api/events/{id}', { params: { path: { id: id() }, query: { limit: 1 } } })),
    enabled: isEventId(id()),
    staleTime: Infinity,
  }))
}
