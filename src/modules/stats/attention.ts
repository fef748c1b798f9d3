import type { HeldQueue } from '#modules/flow-engine/index.ts'
import type { FailingFlow, PluginTrouble } from './overview-repository.ts'
import { ATTENTION_KINDS, type Overview } from './overview-schemas.ts'

type Attention = Overview['attention'][number]

const NOTHING = { target: null, reason: null, count: null, share: null, since: null, ends_at: null }

/** Lists the troubles of a plugin: the gravest of those that keep it from getting its events, and the others. */
export function troubleOf(plugin: PluginTrouble): Attention[] {
  const { kind, reason, since, waiting } = plugin
  const about = { ...NOTHING, target: pluginTarget(plugin), links: pluginLinks(plugin) }
  const found: Attention[] = []
  if (kind !== null) {
    const count = kind === 'plugin_failing' ? plugin.consecutive_failures : waiting
    found.push({ ...about, kind, reason, count, since })
  }
  if (plugin.capability_failures !== null) {
    const { capability_error: error, capability_failures: count } = plugin
    found.push({ ...about, kind: 'capabilities_failing', reason: error, count })
  }
  const { certificate_ends_at: endsAt } = plugin
  if (endsAt !== null) found.push({ ...about, kind: 'certificate_expiring', ends_at: endsAt })
  return found
}

function pluginTarget({ id, slug, name }: PluginTrouble): Attention['target'] {
  return { type: 'plugin', id, slug, name }
}

function pluginLinks({ slug }: PluginTrouble): Attention['links'] {
  return { plugin: `/api/plugins/${slug}`, deliveries: `/api/plugins/events?plugin=${slug}` }
}

export function pausedFlow(flow: {
  id: string
  name: string
  status_reason: string | null
  updated_at: Date
}): Attention {
  return {
    ...NOTHING,
    kind: 'flow_paused',
    target: { type: 'flow', id: flow.id, slug: null, name: flow.name },
    reason: flow.status_reason,
    since: flow.updated_at,
    links: flowLinks(flow.id),
  }
}

export function failingFlow({ id, name, failed, size, reason }: FailingFlow): Attention {
  return {
    ...NOTHING,
    kind: 'flow_failing',
    target: { type: 'flow', id, slug: null, name },
    reason,
    count: failed,
    share: Math.round((failed / size) * 1_000) / 1_000,
    links: flowLinks(id),
  }
}

function flowLinks(id: string): Attention['links'] {
  return {
    flow: `/api/automation/flows/${id}`,
    executions: `/api/automation/executions?flow=${id}&status=failed`,
  }
}

/** Executions that wait for another side that takes no calls for now. */
export function heldQueue({ asks, name, plugin, first, waiting, since }: HeldQueue): Attention {
  const { slug = null } = plugin ?? {}
  return {
    ...NOTHING,
    kind: 'executions_held',
    target: { type: asks.type, id: plugin?.id ?? null, slug, name },
    reason: first.error?.code ?? null,
    count: waiting,
    since,
    links: {
      execution: `/api/automation/executions/${first.id}`,
      executions: '/api/automation/executions?status=waiting&reason=retry',
      ...(slug !== null && { plugin: `/api/plugins/${slug}` }),
    },
  }
}

export function halted(since: Date): Attention {
  return { ...NOTHING, kind: 'automations_halted', since, links: { halt: '/api/automation/halt' } }
}

export function setAside(count: number, since: Date | null): Attention {
  return {
    ...NOTHING,
    kind: 'events_set_aside',
    count,
    since,
    links: { events: '/api/automation/set-aside-events' },
  }
}

/** The gravest first. */
export function inOrder(attention: readonly Attention[]): Attention[] {
  return ATTENTION_KINDS.flatMap((kind) => attention.filter((each) => each.kind === kind))
}
