import {
  type CatalogueType,
  email,
  ENTITIES,
  id,
  listOf,
  nullable,
  object,
  text,
  time,
} from './event-type.ts'

const PROPERTIES = {
  lead_id: id,
  name: nullable(text),
  email: nullable(email),
  phone: nullable(text),
  source: nullable(text),
  status: text,
  assigned_to: nullable(text),
  last_contacted: nullable(time),
  created_at: time,
}
const REQUIRED = ['lead_id']

const SAMPLE = {
  lead_id: 'lead_Rb93Fk',
  name: 'Miguel Reis',
  email: 'miguel@example.com',
  phone: '+351934567890',
  source: 'website',
  status: 'new',
  assigned_to: null,
  last_contacted: null,
  created_at: '2026-03-06T18:22:47Z',
} as const

export const LEAD_TYPES: readonly CatalogueType[] = [
  {
    name: 'lead.created',
    description: 'Somebody showed interest, by a form, a call or a chat.',
    entity: ENTITIES.lead,
    sample: SAMPLE,
    schema: object(PROPERTIES, REQUIRED),
  },
  {
    name: 'lead.updated',
    description: 'A lead was changed; `changes` names the fields.',
    entity: ENTITIES.lead,
    sample: { ...SAMPLE, assigned_to: 'user_12', changes: ['assigned_to'] },
    schema: object({ ...PROPERTIES, changes: listOf(text) }, REQUIRED),
  },
  {
    name: 'lead.status_changed',
    description: 'A lead moved to another status.',
    entity: ENTITIES.lead,
    sample: {
      ...SAMPLE,
      status: 'qualified',
      previous_status: 'new',
      changed_at: '2026-03-07T09:00:00Z',
    },
    schema: object({ ...PROPERTIES, previous_status: text, changed_at: time }, [...REQUIRED, 'status']),
  },
]
