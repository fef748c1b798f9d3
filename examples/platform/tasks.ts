import { type Static, Type } from '@sinclair/typebox'
import { type Change, change, newId, type Shop } from './change.ts'
import type { Database } from './database.ts'
import { notFound } from './errors.ts'
import { type App, CLOSED, Line, ListQuery, Params, PersonId, Text } from './routes.ts'

const TaskInput = Type.Object(
  {
    title: Line(),
    description: Type.Optional(Text()),
    due_date: Type.Optional(
      Type.Union([Type.String({ format: 'date' }), Type.String({ format: 'date-time' })]),
    ),
    priority: Type.Optional(Type.Union(['low', 'normal', 'high'].map((priority) => Type.Literal(priority)))),
    assignee: Type.Optional(PersonId()),
  },
  CLOSED,
)
const Assignment = Type.Object({ assignee: PersonId() }, CLOSED)

interface TaskRow {
  task_id: string
  title: string
  description: string | null
  due_date: string | null
  priority: string
  status: string
  assignee: string | null
  created_at: string
  updated_at: string
}

const COLUMNS =
  'id as task_id, title, description, due_date, priority, status, assignee, created_at, updated_at'

export function taskRoutes(app: App, shop: Shop): void {
  app.get('/api/tasks', { schema: { querystring: ListQuery } }, async ({ tenantId, query }) => ({
    data: shop.db.newest<TaskRow>('tasks', COLUMNS, tenantId, query.limit),
  }))
  app.get('/api/tasks/:id', { schema: { params: Params } }, async ({ tenantId, params }) =>
    getTask(shop.db, tenantId, params.id),
  )
  app.post('/api/tasks', { schema: { body: TaskInput } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({ status: 201, body: createTask(trx, request.body) })),
  )
  app.put('/api/tasks/:id/assign', { schema: { params: Params, body: Assignment } }, (request, reply) =>
    change(shop, request, reply, (trx) => {
      getTask(shop.db, trx.tenantId, request.params.id)
      trx.db.update('tasks', trx.tenantId, request.params.id, {
        assignee: String(request.body.assignee),
        updated_at: trx.now,
      })
      return { status: 200, body: getTask(shop.db, trx.tenantId, request.params.id) }
    }),
  )
}

function createTask({ db, tenantId, now }: Change, input: Static<typeof TaskInput>): object {
  const id = newId('task')
  db.insert('tasks', {
    tenant_id: tenantId,
    id,
    title: input.title,
    description: input.description ?? null,
    due_date: input.due_date ?? null,
    priority: input.priority ?? 'normal',
    status: 'open',
    assignee: input.assignee === undefined ? null : String(input.assignee),
    created_at: now,
    updated_at: now,
  })
  return getTask(db, tenantId, id)
}

function getTask(db: Database, tenantId: string, id: string): TaskRow {
  const row = db.find<TaskRow>('tasks', COLUMNS, tenantId, id)
  if (row === undefined) throw notFound('task')
  return row
}
