import type { Schema } from '../../api/client.ts'
import { to } from '../../router.svelte.ts'

type Entry = Schema['AuditLogEntry']

/** The pages of what entries are about, by its kind and id; of what has none of its own, the list that has it. */
const PAGES: Readonly<Record<string, (id: string) => string>> = {
  flow: (id) => to('/flows/:id', { id }),
  flow_template: (id) => to('/templates/:id', { id }),
  execution: (id) => to('/runs/:id', { id }),
  delivery: (id) => to('/deliveries/:id', { id }),
  event: (id) => to('/events/:id', { id }),
  event_type: (type) => to('/catalogue/:type', { type }),
  replay: (id) => to('/replays/:id', { id }),
  recovery: (id) => to('/replays/recoveries/:id', { id }),
  automation: (id) => to('/automations/:id', { id }),
  dispatch: (execution) => to('/calls', {}, { execution }),
  action: () => to('/actions'),
  connection: () => to('/connections'),
  variable: () => to('/variables'),
  tenant: () => to('/settings'),
  erasure: () => to('/settings', {}, { tab: 'erasures' }),
  key: () => to('/keys'),
  session: () => to('/keys', {}, { tab: 'sessions' }),
  portal_link: () => to('/keys', {}, { tab: 'links' }),
}

/** The page of what an entry is about; undefined: it has none. */
export function targetPage({ action, target_kind, target_id, detail }: Entry): string | undefined {
  // A definition that was tried before it was saved is a flow of no id.
  if (action.endsWith('.deleted') || target_id === 'new') return undefined
  if (target_kind === 'plugin') {
    return typeof detail['slug'] === 'string' ? to('/plugins/:slug', { slug: detail['slug'] }) : undefined
  }
  return PAGES[target_kind]?.(target_id)
}

/** What people call it: its name or slug where the entry keeps one, else its id. */
export function targetName({ target_id, detail }: Entry): string {
  for (const name of ['name', 'slug', 'label']) {
    const value = detail[name]
    if (typeof value === 'string' && value !== '') return value
  }
  return target_id
}

/** Members of an entry's detail that name something else, with the kind of it. */
const NAMED: Readonly<Record<string, string>> = {
  execution_id: 'execution',
  event_id: 'event',
  flow_id: 'flow',
  automation_id: 'automation',
}

/** What else an entry names, with its page. */
export function relatedTo({ detail }: Entry): { kind: string; id: string; href: string }[] {
  const named = Object.entries(NAMED).flatMap(([member, kind]) => {
    const [id, pageOf] = [detail[member], PAGES[kind]]
    return typeof id === 'string' && pageOf !== undefined ? [{ kind, id, href: pageOf(id) }] : []
  })
  const slug = detail['plugin']
  return typeof slug === 'string'
    ? [...named, { kind: 'plugin', id: slug, href: to('/plugins/:slug', { slug }) }]
    : named
}

/** The versions of a flow side by side, where an entry tells that one of them was published. */
export function comparison({ action, target_id: id, detail }: Entry): string | undefined {
  const version = detail['version']
  if (action !== 'flow.published' || typeof version !== 'number' || version < 2) return undefined
  return to('/flows/:id', { id }, { tab: 'versions', version: String(version), with: String(version - 1) })
}
