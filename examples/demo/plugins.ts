import { matchesPattern } from '#lib/event-pattern.ts'

/** A plugin of the show. */
export interface DemoPlugin {
  slug: string
  events: string[]
  /** How its endpoint is, in a word or two. */
  endpoint: string
  /** Null: nobody listens there. Else how many requests it fails before it works. */
  failures: number | null
}

export const PLUGINS: readonly DemoPlugin[] = [
  { slug: 'mailer', events: ['*'], endpoint: 'healthy', failures: 0 },
  {
    slug: 'crm',
    events: ['order.*', 'customer.*', 'lead.*', 'github.*'],
    endpoint: 'fails twice first',
    failures: 2,
  },
  { slug: 'warehouse', events: ['order.*', 'product.*', 'inventory.*'], endpoint: 'dead', failures: null },
]

/** Port 1 (tcpmux): nothing has listened there for decades. */
export const DEAD_URL = 'http://127.0.0.1:1'

export function wants({ events }: DemoPlugin, event: string): boolean {
  return events.some((pattern) => matchesPattern(pattern, event))
}
