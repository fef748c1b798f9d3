import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { until } from '#test/infra/app-on.ts'
import type { Console } from './console.ts'

const ROUTES = resolve(import.meta.dirname, '../../../console/src/routes.ts')

/** The patterns of every page that the console has. */
export async function routePatterns(): Promise<string[]> {
  const source = await readFile(ROUTES, 'utf8')
  return [...source.matchAll(/pattern: '([^']+)'/g)].map(([, pattern = '']) => pattern)
}

interface Made {
  id: string
}

/**
 * Puts at least one of everything into a shop. A receiver's address that says `bad` is expected to refuse.
 *
 * @returns by pattern the address of a page that shows something
 */
export async function fillShop(
  call: Console['call'],
  receiver: string,
): Promise<Readonly<Record<string, string>>> {
  for (const [name, slug, path] of [
    ['Mailer', 'mailer', 'hooks'],
    ['Shipping of very large and heavy goods to islands', 'shipping', 'bad'],
  ]) {
    await call('POST', '/api/plugins', {
      name,
      slug,
      webhook_url: `${receiver}/${path}`,
      events: ['order.*'],
      retry_schedule: [],
    })
  }
  await call('PUT', '/api/variables/shop_name', { value: 'Lisbon Bicycles', description: 'Signs messages' })
  await call('POST', '/api/connections', {
    name: 'payments',
    kind: 'header',
    hosts: ['api.pay.example'],
    settings: { header: 'X-Api-Key' },
    values: { value: 's3cret' },
  })
  const automation = await call<Made>('POST', '/api/automations', {
    name: 'Tag the lead',
    type: 'crm_update',
    trigger: 'status_changed',
    action: { action_type: 'create_task', input: { title: 'Call them' } },
    enabled: false,
  })
  const flow = await call<Made>('POST', '/api/automation/flows', {
    name: 'Send the bill',
    status: 'active',
    triggers: [{ type: 'manual' }, { type: 'event', event_types: ['order.created'] }],
    steps: [{ id: 'bill', type: 'http', name: 'Bill', url: `${receiver}/bill/bad`, method: 'POST' }],
  })
  const { execution_id: run } = await call<{ execution_id: string }>(
    'POST',
    `/api/automation/flows/${flow.id}/run`,
    { input: { code: 'bad', total: 12 } },
  )
  const writing = await call<Made>('POST', '/api/automation/flows', {
    name: 'Thank the customer',
    status: 'active',
    trigger: { type: 'manual' },
    steps: [
      {
        id: 'thank',
        type: 'message',
        channel: 'email',
        to: 'ana@shop.example',
        subject: 'Thanks',
        body: 'Hello',
      },
    ],
  })
  await call('POST', `/api/automation/flows/${writing.id}/run`, { input: {} })
  const event = await call<Made>('POST', '/api/events', {
    event: 'order.created',
    id: 'till-7',
    data: { order_id: 'ord_1', total: 12, note: 'long '.repeat(80) },
  })
  const failed = await until(
    async () => call<{ data: Made[] }>('GET', '/api/plugins/events?status=failed'),
    ({ data }) => data.length > 0,
  )
  const messages = await until(
    async () => call<{ data: Made[] }>('GET', '/api/automation/messages'),
    ({ data }) => data.length > 0,
  )
  await until(
    async () => call<{ status: string }>('GET', `/api/automation/executions/${run}`),
    ({ status }) => status === 'failed',
  )
  const replay = await call<Made>('POST', '/api/plugins/mailer/replays', {})
  const recovery = await call<Made>('POST', '/api/recoveries', { since: '2020-01-01T00:00:00Z' })
  await call('POST', '/api/keys', { kind: 'tenant', name: 'Shop backend', role: 'viewer' })
  await call('POST', '/api/plugins/events/automation', {
    events: [{ action_type: 'stamp_parcel', payload: { parcel: 7, note: 'long '.repeat(80) } }],
  })
  const calls = await call<{ data: Made[] }>('GET', '/api/automation/event-log')
  await call('PATCH', '/api/plugins/shipping', { timeout_ms: 9_000, description: 'Sails on Mondays' })
  const changes = await call<{ data: Made[] }>('GET', '/api/audit-log?action=plugin.updated')
  const ids: Readonly<Record<string, string>> = {
    '/flows/:id': flow.id,
    '/runs/:id': run,
    '/automations/:id': automation.id,
    '/messages/:id': messages.data[0]?.id ?? '',
    '/templates/:id': 'welcome_customer',
    '/plugins/:slug': 'mailer',
    '/deliveries/:id': failed.data[0]?.id ?? '',
    '/replays/:id': replay.id,
    '/replays/recoveries/:id': recovery.id,
    '/events/:id': event.id,
    '/catalogue/:type': 'order.created',
    '/calls/:id': calls.data[0]?.id ?? '',
    '/audit/:id': changes.data[0]?.id ?? '',
  }
  const patterns = await routePatterns()
  const addresses = patterns.map((pattern) => {
    const id = ids[pattern] ?? (pattern.includes(':') ? '' : pattern)
    if (id === '') throw new Error(`what does ${pattern} show? Make one of it here`)
    return [pattern, `/console${pattern.replace(/:\w+/, id)}`] as const
  })
  return Object.fromEntries(addresses)
}
