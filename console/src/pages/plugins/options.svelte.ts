import { createQuery } from '@tanstack/svelte-query'
import { api, ask } from '../../api/client.ts'

/** A shop's plugins as they are offered; any other slug can still be written. */
const MAX_OPTIONS = 200

export function pluginOptions() {
  const query = createQuery(() => ({
    queryKey: ['plugins', 'options'],
    queryFn: async () => ask(api.GET('/api/plugins', { params: { query: { limit: MAX_OPTIONS } } })),
  }))
  return {
    get plugins() {
      return query.data?.data ?? []
    },
    get options(): { value: string; label: string }[] {
      return (query.data?.data ?? []).map(({ slug, name }) => ({ value: slug, label: name }))
    },
  }
}
