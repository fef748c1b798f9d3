import { api, ask } from '../../api/client.ts'
import { ApiProblem } from '../../api/problem.ts'

/** The deliveries that have not ended. */
export interface Backlog {
  count: number
  /** There may be more than were counted. */
  isMore: boolean
  /** Since when the oldest of those that are due has been so. */
  oldest: string | null
  /** By slug. */
  byPlugin: ReadonlyMap<string, number>
}

/** The service counts so many of one plugin, and of each in a list. */
const COUNTED_MAX = 10_000
const LISTED_MAX = 100

export async function backlogOf(plugin: string | undefined): Promise<Backlog> {
  return plugin === undefined ? ofAll() : ofOne(plugin)
}

async function ofOne(slug: string): Promise<Backlog> {
  try {
    const { waiting: count, oldest_due_at: oldest } = await ask(
      api.GET('/api/plugins/{slug}', { params: { path: { slug } } }),
    )
    return { count, isMore: count >= COUNTED_MAX, oldest, byPlugin: new Map([[slug, count]]) }
  } catch (error) {
    // Of a plugin that is no more there are figures, too.
    if (error instanceof ApiProblem && error.status === 404) {
      return { count: 0, isMore: false, oldest: null, byPlugin: new Map() }
    }
    throw error
  }
}

async function ofAll(): Promise<Backlog> {
  const { data, next_cursor: next } = await ask(
    api.GET('/api/plugins', { params: { query: { limit: 100 } } }),
  )
  const due = data.flatMap(({ oldest_due_at: at }) => (at === null ? [] : [at])).sort()
  return {
    count: data.reduce((sum, each) => sum + each.waiting, 0),
    isMore: data.some((each) => each.waiting === LISTED_MAX) || next !== null,
    oldest: due[0] ?? null,
    byPlugin: new Map(data.map(({ slug, waiting }) => [slug, waiting])),
  }
}
