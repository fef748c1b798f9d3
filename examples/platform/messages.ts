import { Type } from '@sinclair/typebox'
import { type Change, change, newId, type Shop } from './change.ts'
import { type App, CLOSED, Line, ListQuery, Text } from './routes.ts'

/** Where the shop writes from, and people write to. */
export const SHOP_EMAIL = 'shop@example.com'
export const SHOP_PHONE = '+351210000000'

type Direction = 'inbound' | 'outbound'

interface Said {
  channel: string
  from: string
  to: string
  subject: string | null
  text: string
}

interface MessageRow {
  message_id: string
  direction: Direction
  channel: string
  sender: string
  recipient: string
  subject: string | null
  text: string
  automated: number
  customer_id: string | null
  lead_id: string | null
  created_at: string
}

const MessageInput = Type.Object(
  {
    direction: Type.Union([Type.Literal('inbound'), Type.Literal('outbound')]),
    channel: Type.Union(['email', 'sms', 'whatsapp', 'chat'].map((channel) => Type.Literal(channel))),
    from: Line(254),
    to: Line(254),
    subject: Type.Optional(Line()),
    text: Text(),
  },
  CLOSED,
)

/** People's correspondence: what comes in, and what somebody of the shop writes. */
export function messageRoutes(app: App, shop: Shop): void {
  app.get('/api/messages', { schema: { querystring: ListQuery } }, async ({ tenantId, query }) => ({
    data: shop.db
      .newest<MessageRow>(
        'messages',
        'id as message_id, direction, channel, sender, recipient, subject, text, automated, customer_id, lead_id, created_at',
        tenantId,
        query.limit,
      )
      .map(({ sender, recipient, automated, ...row }) => ({
        ...row,
        from: sender,
        to: recipient,
        automated: automated === 1,
      })),
  }))
  app.post('/api/messages', { schema: { body: MessageInput } }, (request, reply) =>
    change(shop, request, reply, (trx) => {
      const { direction, subject = null, ...said } = request.body
      return { status: 201, body: recordMessage(trx, direction, { ...said, subject }) }
    }),
  )
}

/** Keeps a message under whom it is to or from, and tells of it. */
export function recordMessage(trx: Change, direction: Direction, said: Said): object {
  const { channel, subject, text } = said
  const person = direction === 'inbound' ? said.from : said.to
  const id = newId('msg')
  const message = {
    channel,
    subject,
    text,
    customer_id: findPerson(trx, 'customers', person),
    lead_id: findPerson(trx, 'leads', person),
  }
  const automated = direction === 'outbound' && trx.automated
  trx.db.insert('messages', {
    ...message,
    tenant_id: trx.tenantId,
    id,
    direction,
    sender: said.from,
    recipient: said.to,
    automated: Number(automated),
    created_at: trx.now,
  })
  const facts = { message_id: id, ...message, conversation_id: null, from: said.from, to: said.to }
  if (direction === 'inbound') trx.emit('message.received', { ...facts, received_at: trx.now })
  else trx.emit('message.sent', { ...facts, automated, sent_at: trx.now })
  return { ...facts, direction, automated }
}

/** The latest one who is reached there. */
function findPerson({ db, tenantId }: Change, table: 'customers' | 'leads', address: string): string | null {
  const found = db.get<{ id: string }>(
    `select id from ${table} where tenant_id = ? and (email = ? or phone = ?) order by rowid desc limit 1`,
    tenantId,
    address,
    address,
  )
  return found?.id ?? null
}
