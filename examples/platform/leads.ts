import { type Static, Type } from '@sinclair/typebox'
import { type Change, change, newId, type Shop } from './change.ts'
import type { Database } from './database.ts'
import { notFound } from './errors.ts'
import { type App, changedFields, CLOSED, Email, Line, ListQuery, Params } from './routes.ts'

const FIELDS = {
  name: Type.Optional(Line()),
  email: Type.Optional(Email()),
  phone: Type.Optional(Line(32)),
  source: Type.Optional(Line(64)),
  assigned_to: Type.Optional(Line(254)),
}
const LeadStatus = Type.Union(
  ['new', 'contacted', 'qualified', 'won', 'lost'].map((status) => Type.Literal(status)),
)
const LeadInput = Type.Object(FIELDS, CLOSED)
const LeadPatch = Type.Object(
  {
    ...FIELDS,
    status: Type.Optional(LeadStatus),
    last_contacted: Type.Optional(Type.String({ format: 'date-time' })),
  },
  { ...CLOSED, minProperties: 1 },
)

interface LeadRow {
  id: string
  name: string | null
  email: string | null
  phone: string | null
  source: string | null
  status: string
  assigned_to: string | null
  last_contacted: string | null
  created_at: string
  updated_at: string
}

const COLUMNS = 'id, name, email, phone, source, status, assigned_to, last_contacted, created_at, updated_at'

export function leadRoutes(app: App, shop: Shop): void {
  app.get('/api/leads', { schema: { querystring: ListQuery } }, async ({ tenantId, query }) => ({
    data: shop.db.newest<LeadRow>('leads', COLUMNS, tenantId, query.limit).map(viewOf),
  }))
  app.get('/api/leads/:id', { schema: { params: Params } }, async ({ tenantId, params }) =>
    getLead(shop.db, tenantId, params.id),
  )
  app.post('/api/leads', { schema: { body: LeadInput } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({ status: 201, body: createLead(trx, request.body) })),
  )
  app.put('/api/leads/:id', { schema: { params: Params, body: LeadPatch } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({
      status: 200,
      body: updateLead(trx, request.params.id, request.body),
    })),
  )
}

/** The lead that the platform's documents name, `{ "lead_id": 123 }`. It was there before: nobody is told of it. */
export function addPrintedLead(db: Database, tenantId: string): void {
  const id = '123'
  if (db.find<LeadRow>('leads', COLUMNS, tenantId, id) !== undefined) return
  const now = new Date().toISOString()
  insertLead(db, {
    tenant_id: tenantId,
    id,
    name: 'Ana',
    email: 'ana@example.com',
    created_at: now,
    updated_at: now,
  })
}

type NewLead = { tenant_id: string } & Pick<LeadRow, 'id' | 'created_at' | 'updated_at'> & Partial<LeadRow>

function insertLead(db: Database, lead: NewLead): void {
  const unknown = {
    name: null,
    email: null,
    phone: null,
    source: null,
    assigned_to: null,
    last_contacted: null,
  }
  db.insert('leads', { ...unknown, status: 'new', ...lead })
}

function createLead(trx: Change, input: Static<typeof LeadInput>): object {
  const { db, tenantId, now } = trx
  const id = newId('lead')
  insertLead(db, { ...input, tenant_id: tenantId, id, created_at: now, updated_at: now })
  const lead = getLead(db, tenantId, id)
  trx.emit('lead.created', lead)
  return lead
}

/** A new status is an event of its own; other changes are told of together. */
function updateLead(trx: Change, id: string, input: Static<typeof LeadPatch>): object {
  const { db, tenantId, now } = trx
  const before = getLead(db, tenantId, id)
  const changes = changedFields({ ...before }, input)
  if (changes.length === 0) return before
  db.update('leads', tenantId, id, { ...input, updated_at: now })
  const lead = getLead(db, tenantId, id)
  const others = changes.filter((name) => name !== 'status')
  if (others.length > 0) trx.emit('lead.updated', { ...lead, changes: others })
  if (lead.status !== before.status) {
    trx.emit('lead.status_changed', { ...lead, previous_status: before.status, changed_at: now })
  }
  return lead
}

function getLead(db: Database, tenantId: string, id: string): ReturnType<typeof viewOf> {
  const row = db.find<LeadRow>('leads', COLUMNS, tenantId, id)
  if (row === undefined) throw notFound('lead')
  return viewOf(row)
}

function viewOf({ id, ...row }: LeadRow) {
  return { lead_id: id, ...row }
}
