import { type CatalogueType, ENTITIES, id, nullable, object, text, time } from './event-type.ts'

const PROPERTIES = {
  message_id: id,
  conversation_id: nullable(id),
  channel: text,
  from: text,
  to: text,
  subject: nullable(text),
  text,
  customer_id: nullable(id),
  lead_id: nullable(id),
}

const SAMPLE = {
  message_id: 'msg_0uVh2e',
  conversation_id: 'conv_Zp4410',
  channel: 'whatsapp',
  from: '+351912345678',
  to: '+351210000000',
  subject: null,
  text: 'Is the apron back in stock?',
  customer_id: 'cus_Lw81Pd',
  lead_id: null,
} as const

export const MESSAGE_TYPES: readonly CatalogueType[] = [
  {
    name: 'message.received',
    description: 'A customer wrote to the shop.',
    entity: ENTITIES.message,
    sample: { ...SAMPLE, received_at: '2026-03-08T12:31:09Z' },
    schema: object({ ...PROPERTIES, received_at: time }, ['message_id', 'from']),
  },
  {
    name: 'message.sent',
    description: 'The shop wrote to a customer; `automated` says whether an automation did, or a person.',
    entity: ENTITIES.message,
    sample: {
      ...SAMPLE,
      message_id: 'msg_0uVh3a',
      from: '+351210000000',
      to: '+351912345678',
      text: 'It is, since this morning.',
      automated: false,
      sent_at: '2026-03-08T12:35:40Z',
    },
    schema: object({ ...PROPERTIES, automated: { type: 'boolean' }, sent_at: time }, ['message_id', 'to']),
  },
]
