import { type Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'
import type { Execution, ExecutionDetail } from '#modules/execution/read/schemas.ts'
import type { Shop } from '#test/modules/flow-engine/support.ts'

export async function listed(shop: Shop, query = ''): Promise<Execution[]> {
  const answer = await shop.tenant.get(`/api/automation/executions${query}`)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json<{ data: Execution[] }>().data
}

export async function read(shop: Shop, id: string, query = ''): Promise<ExecutionDetail> {
  const answer = await shop.tenant.get(`/api/automation/executions/${id}${query}`)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json<ExecutionDetail>()
}

/** The newest execution of the shop. */
export async function latest(shop: Shop): Promise<Execution> {
  const [execution] = await listed(shop, '?limit=1')
  if (execution === undefined) throw new Error('there is no execution')
  return execution
}

export async function retry(shop: Shop, id: string, body: object = {}): Promise<Execution> {
  const answer = await shop.tenant.post(`/api/automation/executions/${id}/retry`, body)
  if (answer.statusCode !== 201) throw new Error(answer.body)
  return answer.json<Execution>()
}

export async function refusal(shop: Shop, id: string, body: object = {}): Promise<string> {
  const answer = await shop.tenant.post(`/api/automation/executions/${id}/retry`, body)
  return `${answer.statusCode} ${answer.json<{ code: string }>().code}`
}

/** Rows as the engine leaves them, many at a time. @returns their ids, oldest first */
export async function seedExecutions(
  db: Kysely<DB>,
  tenantId: string,
  flowId: string,
  rows: readonly Partial<{
    status: Execution['status']
    reason: string
    key: string
    created_at: Date
    finished_at: Date
  }>[],
): Promise<string[]> {
  const ids = rows.map(() => newId()).sort()
  await db
    .insertInto('automation_executions')
    .values(
      rows.map((row, index) => {
        const status = row.status ?? 'completed'
        const isActive = status === 'queued' || status === 'waiting'
        return {
          tenant_id: tenantId,
          id: ids[index] ?? '',
          flow_id: flowId,
          version: 1,
          trigger_kind: 'manual' as const,
          trigger: JSON.stringify({ data: {}, event: null }),
          state: JSON.stringify(STATE),
          due_at: isActive ? new Date('2999-01-01') : null,
          expires_at: new Date('2999-01-01'),
          ...row,
          status,
        }
      }),
    )
    .execute()
  return ids
}

const STATE = {
  main: { iteration: '', step: 'call', waiting: null, due_at: null, failures: 0, since: null, variables: {} },
  loop: null,
  error: { step_id: 'call', code: 'http_5xx', message: 'It answered 500.' },
  filtered: false,
}
