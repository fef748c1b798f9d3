import { createQuery } from '@tanstack/svelte-query'
import { api, ask } from '../api/client.ts'
import { factsOf, readAll } from '../flow/catalogue.ts'

const STALE_MS = 60_000

/** What the compiler has to know of the shop: as the service builds it for itself. */
export function factsQuery() {
  return createQuery(() => ({
    queryKey: ['builder-facts'],
    queryFn: async () => {
      const [tenant, actions, plugins, eventTypes, connections, variables] = await Promise.all([
        ask(api.GET('/api/tenant')),
        readAll(async (query) => ask(api.GET('/api/plugins/actions', { params: { query } }))),
        readAll(async (query) => ask(api.GET('/api/plugins', { params: { query } }))),
        readAll(async (query) => ask(api.GET('/api/event-types', { params: { query } }))),
        readAll(async (query) => ask(api.GET('/api/connections', { params: { query } }))),
        readAll(async (query) => ask(api.GET('/api/variables', { params: { query } }))),
      ])
      const { strict_events: strictEvents, has_platform: hasPlatform, time_zone: zone } = tenant
      return {
        actions,
        zone,
        facts: factsOf({ strictEvents, hasPlatform, actions, plugins, eventTypes, connections, variables }),
      }
    },
    staleTime: STALE_MS,
  }))
}
