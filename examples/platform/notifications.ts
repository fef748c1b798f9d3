import { type Static, Type } from '@sinclair/typebox'
import { type Change, change, newId, type Shop } from './change.ts'
import { recordMessage, SHOP_EMAIL, SHOP_PHONE } from './messages.ts'
import { AnyObject, type App, CLOSED, Email, Line, ListQuery, PersonId, Text } from './routes.ts'
import { unprocessable } from './errors.ts'

const CONTENT = {
  text: Type.Optional(Text()),
  html: Type.Optional(Text()),
  body: Type.Optional(Text()),
  template: Type.Optional(Line(128)),
  variables: Type.Optional(AnyObject()),
}
const EmailInput = Type.Object({ to: Email(), subject: Line(), ...CONTENT }, CLOSED)
const SmsInput = Type.Object(
  {
    to: Type.String({ pattern: '^\\+?[0-9 ()-]{5,32}$' }),
    message: Type.String({ minLength: 1, maxLength: 1600 }),
  },
  CLOSED,
)
const NotificationInput = Type.Object(
  {
    message: Text(),
    title: Type.Optional(Line()),
    /** Where it is shown: slack, say. Left out: in the platform itself. */
    channel: Type.Optional(Line(64)),
    user_id: Type.Optional(PersonId()),
    level: Type.Optional(Type.Union(['info', 'warning', 'error'].map((level) => Type.Literal(level)))),
    data: Type.Optional(AnyObject()),
  },
  CLOSED,
)

interface NotificationRow {
  notification_id: string
  channel: string
  recipient: string | null
  subject: string | null
  content: string
  created_at: string
}

/** Keeps what it is asked to send. A real platform would hand it on to its providers here. */
export function notificationRoutes(app: App, shop: Shop): void {
  app.get('/api/notifications', { schema: { querystring: ListQuery } }, async ({ tenantId, query }) => ({
    data: shop.db
      .newest<NotificationRow>(
        'notifications',
        'id as notification_id, channel, recipient, subject, content, created_at',
        tenantId,
        query.limit,
      )
      .map(viewOf),
  }))
  app.post('/api/notifications/email', { schema: { body: EmailInput } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({ status: 201, body: keepEmail(trx, request.body) })),
  )
  app.post('/api/notifications/sms', { schema: { body: SmsInput } }, (request, reply) =>
    change(shop, request, reply, (trx) => {
      const { to, ...content } = request.body
      const said = { channel: 'sms', from: SHOP_PHONE, to, subject: null, text: content.message }
      recordMessage(trx, 'outbound', said)
      return { status: 201, body: keep(trx, 'sms', to, null, content) }
    }),
  )
  app.post('/api/notifications', { schema: { body: NotificationInput } }, (request, reply) =>
    change(shop, request, reply, (trx) => {
      const { user_id, title = null, channel = 'notification', ...content } = request.body
      const recipient = user_id === undefined ? null : String(user_id)
      return { status: 201, body: keep(trx, channel, recipient, title, content) }
    }),
  )
}

function keepEmail(trx: Change, { to, subject, ...content }: Static<typeof EmailInput>): object {
  if ([content.text, content.html, content.body, content.template].every((part) => part === undefined)) {
    throw unprocessable('nothing_to_say', 'Give one of text, html, body or template.')
  }
  const text = content.text ?? content.body ?? content.html ?? ''
  recordMessage(trx, 'outbound', { channel: 'email', from: SHOP_EMAIL, to, subject, text })
  return keep(trx, 'email', to, subject, content)
}

function keep(
  { db, tenantId, now }: Change,
  channel: string,
  recipient: string | null,
  subject: string | null,
  content: object,
): object {
  const id = newId('ntf')
  const row = {
    channel,
    recipient,
    subject,
    content: JSON.stringify(content),
    created_at: now,
  }
  db.insert('notifications', { tenant_id: tenantId, id, ...row })
  return viewOf({ notification_id: id, ...row })
}

function viewOf({ content, ...row }: NotificationRow): object {
  return { ...row, ...(JSON.parse(content) as object) }
}
