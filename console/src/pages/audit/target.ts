import type { Schema } from '../../api/client.ts'
import { to } from '../../router.svelte.ts'

type Entry = Schema['AuditLogEntry']

const PAGES: Readonly<Record<string, string>> = {
  flow: '/flows/:id',
  flow_template: '/templates/:id',
  execution: '/runs/:id',
  delivery: '/deliveries/:id',
  event: '/events/:id',
  replay: '/replays/:id',
  automation: '/automations/:id',
}

/** The page of what an entry is about; undefined: it has none of its own. */
export function targetPage({ action, target_kind, target_id, detail }: Entry): string | undefined {
  if (action.endsWith('.deleted')) return undefined
  if (target_kind === 'plugin' && typeof detail['slug'] === 'string') {
    return to('/plugins/:slug', { slug: detail['slug'] })
  }
  const pattern = PAGES[target_kind]
  return pattern === undefined ? undefined : to(pattern, { id: target_id })
}

/** What people call it: its name or slug where the entry keeps one, else its id. */
export function targetName({ target_id, detail }: Entry): string {
  for (const name of ['name', 'slug', 'label']) {
    const value = detail[name]
    if (typeof value === 'string' && value !== '') return value
  }
  return target_id
}
