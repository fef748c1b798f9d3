import type { Kysely, RawBuilder } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Actor } from '#infra/auth/actor.ts'
import { selectCells, type StatsQuery } from '#infra/statistics/read-repository.ts'
import { STATS, type StatsKind } from '#infra/statistics/tables.ts'
import { now } from '#lib/clock.ts'
import { pluginNamed } from '#modules/event/index.ts'
import { pluginNotFound } from '#modules/plugin/index.ts'
import { readRange, type StatsRange, type Step } from './range.ts'
import { isOneOf, isText, selectFlows, selectPlugins, takesEvent } from './repository.ts'
import type {
  ActionStatsQuery,
  DeliveryStatsQuery,
  ExecutionStatsQuery,
  PluginStatsQuery,
} from './schemas.ts'
import { type Figures, foldSeries, type FoldedSeries, OTHER, type Point } from './series.ts'

export interface StatsContext {
  db: Kysely<DB>
}

export interface Stats {
  step: Step
  since: Date
  until: Date
  complete: boolean
  series: { key: string; label: string | null; totals: Figures; points: Point[] }[]
}

const MAX_SERIES = 10
/** Every process has written by then what happened before. */
const WRITTEN_AFTER_MS = 10_000

/** The counts by which a series is large, and the count that its errors belong to. */
export const MEASURES = {
  deliveries: { detail: 'error_class', weight: ['attempts', 'failed'], errorCount: 'attempts' },
  executions: {
    detail: 'error_code',
    weight: ['completed', 'failed', 'cancelled', 'timed_out'],
    errorCount: 'failed',
  },
  actions: { detail: 'error_code', weight: ['succeeded', 'failed', 'accepted'], errorCount: 'failed' },
} as const satisfies Record<StatsKind, { detail: string; weight: string[]; errorCount: string }>

interface Asked {
  kind: StatsKind
  range: StatsRange
  where: RawBuilder<unknown>[]
  group: string | null
}

export async function deliveryStats(
  ctx: StatsContext,
  actor: Actor,
  tenantId: string,
  query: DeliveryStatsQuery,
): Promise<Stats> {
  const range = readRange(query, now())
  const where: RawBuilder<unknown>[] = []
  if (actor.pluginId !== null) where.push(isOneOf('plugin_id', [actor.pluginId]))
  if (query.plugin !== undefined) {
    const id = await pluginNamed(ctx.db, tenantId, query.plugin)
    where.push(isOneOf('plugin_id', id === undefined ? [] : [id]))
  }
  if (query.event !== undefined) where.push(takesEvent(query.event))
  const group = query.group === 'plugin' ? 'plugin_id' : (query.group ?? null)
  return ask(ctx, tenantId, { kind: 'deliveries', range, where, group })
}

/** @throws `plugin_not_found` */
export async function pluginStats(
  ctx: StatsContext,
  tenantId: string,
  slug: string,
  query: PluginStatsQuery,
): Promise<Stats> {
  const range = readRange(query, now())
  const id = await pluginNamed(ctx.db, tenantId, slug)
  if (id === undefined) throw pluginNotFound()
  const where = [isOneOf('plugin_id', [id])]
  if (query.event !== undefined) where.push(takesEvent(query.event))
  return ask(ctx, tenantId, { kind: 'deliveries', range, where, group: query.group ?? null })
}

export async function executionStats(
  ctx: StatsContext,
  tenantId: string,
  query: ExecutionStatsQuery,
): Promise<Stats> {
  const range = readRange(query, now())
  const where = query.flow === undefined ? [] : [isOneOf('flow_id', [query.flow])]
  const group = query.group === undefined ? null : { flow: 'flow_id', error: 'error_code' }[query.group]
  return ask(ctx, tenantId, { kind: 'executions', range, where, group })
}

export async function actionStats(
  ctx: StatsContext,
  tenantId: string,
  query: ActionStatsQuery,
): Promise<Stats> {
  const range = readRange(query, now())
  const where: RawBuilder<unknown>[] = []
  if (query.plugin !== undefined) where.push(isText('plugin', query.plugin))
  if (query.action !== undefined) where.push(isText('action', query.action))
  const group = query.group === 'error' ? 'error_code' : (query.group ?? null)
  return ask(ctx, tenantId, { kind: 'actions', range, where, group })
}

async function ask(ctx: StatsContext, tenantId: string, asked: Asked): Promise<Stats> {
  const { range, group } = asked
  const series = await readSeries(ctx.db, tenantId, asked)
  const name = await namesOf(ctx.db, tenantId, group, series)
  return {
    step: range.step,
    since: range.since,
    until: range.until,
    complete: range.until.getTime() <= now() - WRITTEN_AFTER_MS,
    series: series.map(({ key, totals, points }) => ({ ...name(key), totals, points })),
  }
}

export async function readSeries(
  db: Kysely<DB>,
  tenantId: string,
  { kind, range, where, group }: Asked,
): Promise<FoldedSeries[]> {
  const table = STATS[kind]
  const { detail, weight, errorCount } = MEASURES[kind]
  const { since, until, stepSeconds } = range
  const wanted: StatsQuery = {
    table,
    tenantId,
    since,
    until,
    stepSeconds,
    where,
    group,
    detail,
    detailCount: errorCount,
    weight,
    maxSeries: MAX_SERIES,
  }
  return foldSeries(table, await selectCells(db, wanted), weight)
}

async function namesOf(
  db: Kysely<DB>,
  tenantId: string,
  group: string | null,
  series: readonly FoldedSeries[],
): Promise<(key: string | null) => { key: string; label: string | null }> {
  if (group === null) return () => ({ key: 'all', label: null })
  const ids = series.flatMap(({ key }) => key ?? [])
  const names = new Map<string, { key: string; label: string | null }>()
  if (group === 'plugin_id' && ids.length > 0) {
    for (const { id, slug, name } of await selectPlugins(db, tenantId, ids)) {
      names.set(id, { key: slug ?? id, label: name })
    }
  }
  if (group === 'flow_id' && ids.length > 0) {
    for (const { id, name } of await selectFlows(db, tenantId, ids)) names.set(id, { key: id, label: name })
  }
  return (key) => {
    if (key === null) return { key: OTHER, label: null }
    return names.get(key) ?? { key: key === '' ? 'none' : key, label: null }
  }
}
