import { api, ask } from '../../api/client.ts'
import { words } from '../../i18n/words.svelte.ts'
import type { ChartSeries } from '../../kit/chart.ts'
import { to } from '../../router.svelte.ts'
import type { Count, Series, Stats } from './series.ts'

export type MeasureName = 'deliveries' | 'flows' | 'actions'
export type Filter = 'plugin' | 'event' | 'flow' | 'action'
export type Group = 'plugin' | 'event' | 'error_class' | 'flow' | 'error' | 'action'
/** What the figures are narrowed to: as in the address. */
export type Chosen = Partial<Record<Filter | 'period', string>>
export interface StatsQuery extends Partial<Record<Filter, string>> {
  since?: string
  group?: Group
}

/** One kind of figures: what they count, by what they are told apart, and where what was counted is listed. */
export interface Measure {
  name: MeasureName
  /** In the order in which bars stand on each other. */
  parts: readonly { count: Count; color: ChartSeries['color'] }[]
  good: Count
  bad: readonly Count[]
  filters: readonly Filter[]
  /** It is kept for how long they had waited. */
  hasQueueAge: boolean
  /** The first is the one by default. */
  groups: readonly Group[]
  read: (query: StatsQuery) => Promise<Stats>
  /** The page of what a series or an error stands for; null: it has none. */
  hrefOf: (group: Group, series: Pick<Series, 'key' | 'label'>, chosen: Chosen) => string | null
}

/** A measure is asked by its own filters and groups alone. */
const asked = (query: StatsQuery): object => query

const NO_PAGE: ReadonlySet<string> = new Set(['other', 'none', 'all'])

const deliveries: Measure = {
  name: 'deliveries',
  parts: [
    { count: 'sent', color: '--good' },
    { count: 'retried', color: '--warn' },
    { count: 'failed', color: '--bad' },
  ],
  good: 'sent',
  bad: ['failed'],
  filters: ['plugin', 'event'],
  hasQueueAge: true,
  groups: ['plugin', 'event', 'error_class'],
  read: async (query) =>
    ask(api.GET('/api/stats/deliveries', { params: { query: asked(query) } })) as Promise<Stats>,
  hrefOf: (group, { key }, chosen) => {
    if (NO_PAGE.has(key)) return null
    return group === 'plugin'
      ? to('/plugins/:slug', { slug: key })
      : to('/deliveries', {}, { ...chosen, [group]: key })
  },
}

const flows: Measure = {
  name: 'flows',
  parts: [
    { count: 'completed', color: '--good' },
    { count: 'cancelled', color: '--info' },
    { count: 'timed_out', color: '--warn' },
    { count: 'failed', color: '--bad' },
  ],
  good: 'completed',
  bad: ['failed', 'timed_out'],
  filters: ['flow'],
  hasQueueAge: true,
  groups: ['flow', 'error'],
  read: async (query) =>
    ask(api.GET('/api/stats/executions', { params: { query: asked(query) } })) as Promise<Stats>,
  hrefOf: (group, { key, label }, chosen) => {
    if (NO_PAGE.has(key)) return null
    if (group === 'error') return to('/runs', {}, { ...chosen, status: 'failed', error_code: key })
    return label === null ? null : to('/flows/:id', { id: key }, { tab: 'analytics' })
  },
}

const actions: Measure = {
  name: 'actions',
  parts: [
    { count: 'succeeded', color: '--good' },
    { count: 'accepted', color: '--info' },
    { count: 'failed', color: '--bad' },
  ],
  good: 'succeeded',
  bad: ['failed'],
  filters: ['plugin', 'action'],
  hasQueueAge: false,
  groups: ['action', 'plugin', 'error'],
  read: async (query) =>
    ask(api.GET('/api/stats/actions', { params: { query: asked(query) } })) as Promise<Stats>,
  hrefOf: (group, { key }, chosen) => {
    if (NO_PAGE.has(key)) return null
    if (group === 'error') return to('/calls', {}, { ...chosen, success: 'false', error_code: key })
    if (group === 'action') return to('/calls', {}, { ...chosen, action: key })
    return key === 'platform'
      ? to('/calls', {}, { ...chosen, plugin: key })
      : to('/plugins/:slug', { slug: key })
  },
}

export const MEASURES: Readonly<Record<MeasureName, Measure>> = { deliveries, flows, actions }

const texts = words({
  en: {
    deliveries: 'Deliveries',
    flows: 'Runs',
    actions: 'Actions',
    deliveriesTab: 'Deliveries',
    flowsTab: 'Flows',
    actionsTab: 'Actions',
    sent: 'Delivered',
    first_try: 'At first try',
    retried: 'To be repeated',
    givenUp: 'Given up',
    completed: 'Completed',
    cancelled: 'Cancelled',
    timed_out: 'Took too long',
    succeeded: 'Succeeded',
    accepted: 'Accepted, to be done later',
    failed: 'Failed',
    plugin: 'Plugin',
    event: 'Event type',
    error_class: 'Error class',
    flow: 'Flow',
    error: 'Error code',
    action: 'Action',
  },
  de: {
    deliveries: 'Zustellungen',
    flows: 'Ausführungen',
    actions: 'Aktionen',
    deliveriesTab: 'Zustellungen',
    flowsTab: 'Abläufe',
    actionsTab: 'Aktionen',
    sent: 'Zugestellt',
    first_try: 'Beim ersten Versuch',
    retried: 'Wird wiederholt',
    givenUp: 'Aufgegeben',
    completed: 'Abgeschlossen',
    cancelled: 'Abgebrochen',
    timed_out: 'Dauerte zu lange',
    succeeded: 'Gelungen',
    accepted: 'Angenommen, folgt später',
    failed: 'Gescheitert',
    plugin: 'Plugin',
    event: 'Ereignisart',
    error_class: 'Fehlerart',
    flow: 'Ablauf',
    error: 'Fehlercode',
    action: 'Aktion',
  },
})

/** The name of what a measure counts. */
export const measureLabel = ({ name }: Measure): string => texts[name]
export const tabLabel = (name: MeasureName): string => texts[`${name}Tab`]
export const groupLabel = (group: Group): string => texts[group]
/** A delivery that failed for good was given up: one that only failed is repeated. */
export const countLabel = ({ name }: Measure, count: Count): string =>
  name === 'deliveries' && count === 'failed' ? texts.givenUp : texts[count]
