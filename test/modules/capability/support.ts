import type { Test } from 'tap'
import type { RegistryAction } from '#modules/registry/index.ts'
import type { Manifest } from '#modules/capability/index.ts'
import type { Tenant } from '#test/support/app.ts'

export interface CapabilitiesBody {
  plugin: string
  plugin_id: string
  manifest: Manifest | null
  own_event_types: string[]
  origin: 'pushed' | 'fetched' | null
  version: string | null
  health: 'healthy' | 'failing' | 'unknown'
  last_updated: string | null
  last_checked_at: string | null
  last_error: string | null
  consecutive_failures: number
  next_check_at: string | null
}

type Names = Record<'triggers' | 'actions' | 'conditions', string[]>

export interface UpdateBody {
  added: Names
  changed: Names
  removed: Names
  capabilities: CapabilitiesBody
}

export interface MergedBody {
  triggers: {
    id: string
    plugin: string | null
    plugin_active: boolean
    event_types: string[]
    event_owners: Record<string, 'platform' | 'plugin' | 'other'>
  }[]
  actions: RegistryAction[]
  conditions: {
    id: string
    plugin: string
    plugin_active: boolean
    path: string | null
    operators: string[]
  }[]
  next_cursor: string | null
}

export const TRIGGER = {
  id: 'points_earned',
  name: 'Points earned',
  event_types: ['loyalty.points_earned'],
  output_schema: { customer_id: 'string', points: { type: 'integer', required: true } },
}
export const ACTION = {
  id: 'award_points',
  name: 'Award points',
  description: 'Adds points.',
  endpoint: '/actions/award-points',
  input_schema: {
    customer_id: { type: 'string', required: true },
    points: { type: 'integer', required: true },
  },
  output_schema: 'integer',
}
export const CONDITION = {
  id: 'tier',
  name: 'Tier',
  path: 'customer.loyalty.tier',
  operators: ['equals', 'in'],
  value_type: 'string',
}

/** A manifest with one of each, or with these instead. */
export function manifestOf(
  capabilities: Record<string, unknown[]> = {},
  fields: object = {},
): Record<string, unknown> {
  return {
    name: 'Loyalty',
    slug: 'loyalty',
    version: '1.0.0',
    capabilities: { triggers: [TRIGGER], actions: [ACTION], conditions: [CONDITION], ...capabilities },
    ...fields,
  }
}

/** Gives a manifest; fails the test when it is refused. */
export async function putManifest(
  t: Test,
  tenant: Tenant,
  slug: string,
  manifest: object,
): Promise<UpdateBody> {
  const response = await tenant.put(`/api/plugins/${slug}/manifest`, manifest)
  t.equal(response.statusCode, 200, response.statusCode === 200 ? 'accepted' : response.body)
  return response.json()
}

export async function capabilitiesOf(tenant: Tenant, slug: string): Promise<CapabilitiesBody> {
  return (await tenant.get(`/api/plugins/${slug}/capabilities`)).json()
}
