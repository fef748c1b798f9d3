import type { CatalogueFacts } from '../../../src/lib/flow/index.ts'
import type { components } from '../api/schema.d.ts'

type Schema = components['schemas']

/** What the API says of a shop, as far as flows use it. */
export interface ShopAnswers {
  strictEvents: boolean
  hasPlatform: boolean
  actions: readonly Schema['RegistryAction'][]
  plugins: readonly Pick<Schema['Plugin'], 'id' | 'slug' | 'status'>[]
  eventTypes: readonly Pick<Schema['EventType'], 'name' | 'schema' | 'plugin' | 'sample' | 'source'>[]
  connections: readonly Pick<Schema['Connection'], 'name' | 'kind' | 'hosts'>[]
  variables: readonly Pick<Schema['Variable'], 'name'>[]
}

/** The same as what the compiler looks things up in. */
export function factsOf(answers: ShopAnswers): CatalogueFacts {
  const { strictEvents, hasPlatform, actions, plugins, eventTypes, connections, variables } = answers
  return {
    strictEvents,
    hasPlatform,
    // Schemas were checked when they were declared.
    actions,
    plugins: plugins.map(({ id, slug, status }) => ({ id, slug, active: status === 'active' })),
    eventTypes: eventTypes
      .filter(({ source }) => !strictEvents || source !== 'seen')
      .map(({ name, schema, plugin, sample, source }) => ({
        name,
        schema,
        plugin: source === 'plugin' ? plugin : null,
        ...(sample !== null && { sample }),
      })),
    connections: connections.map(({ name, kind, hosts }) => ({ name, kind, hosts })),
    variables: variables.map(({ name }) => name),
  }
}

interface Page<Item> {
  data?: readonly Item[]
  next_cursor: string | null
}

/** All of a list, page by page. */
export async function readAll<Item>(
  fetchPage: (query: { limit: number; cursor?: string }) => Promise<Page<Item>>,
): Promise<Item[]> {
  const items: Item[] = []
  for (let cursor: string | undefined; ;) {
    const page: Page<Item> = await fetchPage({ limit: PAGE, ...(cursor !== undefined && { cursor }) })
    items.push(...(page.data ?? []))
    if (page.next_cursor === null) return items
    cursor = page.next_cursor
  }
}

const PAGE = 200
