import { createQuery } from '@tanstack/svelte-query'
import { api, ask } from '../api/client.ts'

/** As many types as are offered where one is asked for; any other can still be written. */
const MAX_OFFERED = 200

/** @param isWanted false: they are asked for later, if at all */
export function offeredEventTypes(isWanted: () => boolean = () => true) {
  return createQuery(() => ({
    queryKey: ['event-types', 'names'],
    queryFn: async () => ask(api.GET('/api/event-types', { params: { query: { limit: MAX_OFFERED } } })),
    enabled: isWanted(),
  }))
}
