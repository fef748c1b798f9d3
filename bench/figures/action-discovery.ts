import type { Commands as TimedRequests } from '../processes/timed-requests.ts'
import type { Figure, Row } from '../support/figure.ts'
import { seedPlugins } from '../support/seed.ts'

const PLUGINS = 1_000
const ACTIONS_EACH = 10
const CALLERS = 4
const QUESTIONS = {
  'first page': 'limit=50',
  'search by text': 'limit=50&q=number+7',
  'a category, by plugin': 'limit=50&category=crm&group=plugin',
} as const

export const actionDiscovery: Figure = {
  name: 'action-discovery',
  title: 'Discovering actions',
  about: `\`GET /api/plugins/actions\`, pages of 50, ${CALLERS} callers at a time (\`ROLES=api\`), ${PLUGINS.toLocaleString('en')} plugins of ${ACTIONS_EACH} actions each.`,
  async measure(stage) {
    const tenantId = crypto.randomUUID()
    const database = await stage.database()
    await seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: Array.from({ length: PLUGINS }, () => ({ url: 'http://127.0.0.1:9/', event: 'bench.seeded' })),
    })
    await database.pool.query('update plugins set registered_actions = $1', [
      JSON.stringify(Array.from({ length: ACTIONS_EACH }, (_, index) => actionOf(index))),
    ])
    const service = await stage.service({ databaseUrl: database.url, roles: 'api' })
    const caller = await stage.helper<TimedRequests>('timed-requests')
    const ask = (query: string, count: number) =>
      caller.call('run', {
        method: 'GET',
        url: `${service.url}/api/plugins/actions?${query}`,
        headers: stage.headers(tenantId),
        body: null,
        count,
        connections: CALLERS,
        expect: '"next_cursor":',
      })
    const rows: Row[] = []
    for (const [name, query] of Object.entries(QUESTIONS)) {
      await ask(query, stage.pick(100, 10))
      const { p50, p95, perSecond } = await ask(query, stage.pick(1_000, 50))
      rows.push({
        name: `discovery of ${(PLUGINS * ACTIONS_EACH).toLocaleString('en')} actions, ${name}, p95`,
        ours: p95,
        ceiling: null,
        unit: 'ms',
        target: { of: 'ours', atMost: 10 },
        detail: { p50, per_second: perSecond },
      })
    }
    return rows
  },
}

/** As registration leaves it. */
function actionOf(index: number) {
  return {
    action_type: `action_${index}`,
    title: `Action ${index}`,
    description: `Does the thing number ${index} that the plugin is there for, as its author describes it.`,
    category: ['email', 'crm', 'loyalty', 'shipping', 'support'][index % 5],
    required_fields: ['customer_id', 'amount'],
    optional_fields: ['note'],
    input_schema: {
      type: 'object',
      properties: {
        customer_id: { type: 'string', minLength: 1 },
        amount: { type: 'integer', minimum: 1 },
        note: { type: 'string', maxLength: 200 },
      },
      required: ['customer_id', 'amount'],
    },
    output_schema: { type: 'object', properties: { id: { type: 'string' } } },
    endpoint: `/actions/${index}`,
    method: 'POST',
    timeout_ms: null,
    idempotent: false,
    origin: 'registered',
  }
}
