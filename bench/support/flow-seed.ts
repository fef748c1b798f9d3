import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { ActionStep } from '#lib/flow/steps/action.ts'
import type { CanonicalFlow, CanonicalStep, StepId } from '#lib/flow/types.ts'
import { notifyOnce } from '#infra/signals.ts'
import { newId } from '#lib/ids.ts'
import { seedPlugins } from './seed.ts'

const POLL_MS = 10
const EVENT = 'order.created'
/** No cap on starts: the figure is how many the engine can take. */
export const FLOW_ENV = { FLOW_MAX_STARTS_PER_MINUTE: '10000000' }

/** As registration leaves it. */
const ACTION = {
  action_type: 'do',
  title: 'Do',
  description: '',
  category: 'other',
  required_fields: ['total'],
  optional_fields: ['text', 'sent_at'],
  input_schema: null,
  output_schema: null,
  endpoint: null,
  method: 'POST',
  timeout_ms: null,
  idempotent: false,
  origin: 'registered',
}

/** What the plugin allows at once: its limit is not what is measured. */
const MAX_IN_FLIGHT = 64

/** Makes a plugin with the action `do`, which comes to `url`. @returns its id */
export async function seedActor(
  pool: pg.Pool,
  options: { masterKey: Buffer; tenantId: string; url: string },
): Promise<string> {
  const { masterKey, tenantId, url } = options
  const [id = ''] = await seedPlugins(pool, {
    masterKey,
    tenantId,
    plugins: [{ url, event: 'bench.seeded' }],
    maxInFlight: MAX_IN_FLIGHT,
  })
  await pool.query('update plugins set registered_actions = $2 where id = $1', [id, JSON.stringify([ACTION])])
  return id
}

/** An action of the seeded plugin, by default with a payload that is filled in from the event. */
export function actionStep(
  pluginId: string,
  to: StepId,
  input: Record<string, unknown> = { total: '{{trigger.total}}', text: 'Order of {{trigger.text}}' },
): ActionStep {
  return {
    ...BASE,
    type: 'action',
    config: { action_type: 'do', plugin_id: pluginId, input },
    retry: { max_retries: 3, base_ms: 1_000, cap_ms: 900_000 },
    next: { success: to },
  }
}

export const BASE = { name: null, retry: null, timeout_ms: null, handler: false, loop: null } as const

/** A published flow on `order.created`, as its module leaves it. @returns its id */
export async function seedFlow(
  pool: pg.Pool,
  tenantId: string,
  steps: Record<StepId, CanonicalStep>,
): Promise<string> {
  const id = newId()
  const flow: CanonicalFlow = {
    schema_version: 1,
    triggers: [{ id: 'trigger_1', type: 'event', event_types: [EVENT], filter: null, plugin_id: null }],
    start: Object.keys(steps)[0] ?? 'end',
    steps,
    handlers: [],
    variables: {},
    settings: {
      timeout_ms: 10_000,
      retry: { max_retries: 3, base_ms: 1_000, cap_ms: 900_000 },
      lifetime_ms: 366 * 86_400_000,
      enrolment: { key: null, while_active: 'allow', reenter_after_ms: null, cancel_on: [] },
    },
    layout: {},
  }
  await pool.query(
    `insert into automation_flows (tenant_id, id, name, definition, status, published_version)
     values ($1, $2, 'bench', '{}', 'active', 1)`,
    [tenantId, id],
  )
  await pool.query(
    `insert into automation_flow_versions (tenant_id, flow_id, version, definition, flow) values ($1, $2, 1, '{}', $3)`,
    [tenantId, id, JSON.stringify(flow)],
  )
  await pool.query(
    `insert into flow_cursors (tenant_id, position, event_id)
     values ($1, feed_horizon() - 1, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
     on conflict (tenant_id) do update set flows_version = flow_cursors.flows_version + 1`,
    [tenantId],
  )
  return id
}

/**
 * Stores events at once, as intake leaves them, and tells the service. @returns executions that came to their end a
 * second, from the commit of the events on
 */
export async function runRate(
  pool: pg.Pool,
  options: { tenantId: string; flowId: string; count: number; timeoutMs: number },
): Promise<number> {
  const { tenantId, flowId, count, timeoutMs } = options
  const before = await countEnded(pool, flowId)
  const body = JSON.stringify({
    event: EVENT,
    tenant_id: tenantId,
    timestamp: new Date().toISOString(),
    data: { total: 42, text: 'x'.repeat(150) },
  })
  await pool.query(
    `insert into events (tenant_id, id, fingerprint, event, source, occurred_at, position, body)
     select $1, uuidv7(), '', '${EVENT}', 'api', now(), (select feed_position()), $3 from generate_series(1, $2::int)`,
    [tenantId, count, body],
  )
  const startedAt = performance.now()
  await notifyOnce(pool, 'events_stored', 'bench', [tenantId])
  let seconds = 0
  for (let ended = 0; ended < before + count;) {
    await delay(POLL_MS)
    if (performance.now() - startedAt > timeoutMs) throw new Error('executions did not end in time')
    // Counting is dear: not before the queue is empty.
    if (await isBusy(pool, tenantId)) continue
    seconds = (performance.now() - startedAt) / 1_000
    ended = await countEnded(pool, flowId)
  }
  return count / seconds
}

/** Tells whether there are events to be matched, or executions that have not ended. */
async function isBusy(pool: pg.Pool, tenantId: string): Promise<boolean> {
  const { rows } = await pool.query<{ busy: boolean }>({
    name: 'is_busy',
    text: `select exists (select from automation_executions where tenant_id = $1 and due_at is not null)
             or exists (select from flow_cursors c join events e on e.tenant_id = c.tenant_id
               and (e.position, e.id) > (c.position, c.event_id) where c.tenant_id = $1) as busy`,
    values: [tenantId],
  })
  return rows[0]?.busy !== false
}

async function countEnded(pool: pg.Pool, flowId: string): Promise<number> {
  const { rows } = await pool.query<{ count: number; failed: number }>(
    `select count(*) filter (where status = 'completed')::int as count,
       count(*) filter (where status in ('failed', 'skipped'))::int as failed
     from automation_executions where flow_id = $1`,
    [flowId],
  )
  const [{ count, failed } = { count: 0, failed: 0 }] = rows
  if (failed > 0) throw new Error(`${failed} executions failed or were skipped`)
  return count
}
