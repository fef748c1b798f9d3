import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { pathFields, type RegistryAction } from './action.ts'

const text: SafeSchema = { type: 'string', minLength: 1 }
const longText: SafeSchema = { type: 'string' }
/** Ids are the platform's: numbers or text. */
const id: SafeSchema = { type: ['string', 'integer'], minLength: 1 }
const email: SafeSchema = { type: 'string', format: 'email' }
/** Of money: a number, or a decimal as text. */
const amount: SafeSchema = { type: ['number', 'string'], minimum: 0, minLength: 1 }
const currency: SafeSchema = { type: 'string', minLength: 3, maxLength: 3, description: 'ISO 4217' }
const tags: SafeSchema = { type: 'array', items: text }
const open: SafeSchema = { type: 'object' }
const time: SafeSchema = { type: 'string', description: 'A day or a time, ISO 8601' }

const PRODUCT = {
  name: text,
  price: amount,
  description: longText,
  sku: text,
  currency,
  stock: { type: 'integer' },
  status: text,
  images: { type: 'array', items: text },
  tags,
  collections: { type: 'array', items: text },
} satisfies Fields
const CUSTOMER = {
  email,
  name: text,
  phone: text,
  accepts_marketing: { type: 'boolean' },
  tags,
} satisfies Fields
const LEAD = {
  name: text,
  email,
  phone: text,
  source: text,
  status: text,
  assigned_to: text,
  last_contacted: time,
} satisfies Fields
const PRODUCT_OUT: Fields = { product_id: id, name: text, price: amount }
const CUSTOMER_OUT: Fields = { customer_id: id, email }
const LEAD_OUT: Fields = { lead_id: id, status: text }
const ORDER_OUT: Fields = { order_id: id, status: text, total: amount }
const NOTIFICATION_OUT: Fields = { notification_id: id, channel: text }
const TASK_OUT: Fields = { task_id: id, title: text, status: text }

type Fields = Record<string, SafeSchema>

/**
 * The platform's own actions. A new one is a row here. Parameters of the path are required; the fields, and the usual
 * ones among them, are hints for builders and the compiler: the platform itself says whether a payload will do.
 */
export const PLATFORM_ACTIONS: readonly RegistryAction[] = [
  action('create_product', 'Create a product', 'Adds a product to the shop.', {
    category: 'products',
    call: 'POST /api/products',
    usual: ['name', 'price'],
    fields: PRODUCT,
    out: PRODUCT_OUT,
  }),
  action('update_product', 'Update a product', 'Changes the fields that are given.', {
    category: 'products',
    call: 'PUT /api/products/:id',
    usual: [],
    fields: { id, ...PRODUCT },
    out: PRODUCT_OUT,
  }),
  action('delete_product', 'Delete a product', 'Removes a product from the shop.', {
    category: 'products',
    call: 'DELETE /api/products/:id',
    usual: [],
    fields: { id },
    out: { product_id: id },
  }),
  action('create_customer', 'Create a customer', 'Adds a customer to the shop.', {
    category: 'customers',
    call: 'POST /api/customers',
    usual: ['email'],
    fields: CUSTOMER,
    out: CUSTOMER_OUT,
  }),
  action('update_customer', 'Update a customer', 'Changes the fields that are given.', {
    category: 'customers',
    call: 'PUT /api/customers/:id',
    usual: [],
    fields: { id, ...CUSTOMER },
    out: CUSTOMER_OUT,
  }),
  action(
    'update_lead',
    'Update a lead',
    'Changes the fields that are given, such as when somebody last wrote to it.',
    {
      category: 'leads',
      call: 'PUT /api/leads/:id',
      usual: [],
      fields: { id, ...LEAD },
      out: LEAD_OUT,
    },
  ),
  action('create_order', 'Create an order', 'Places an order for a customer.', {
    category: 'orders',
    call: 'POST /api/orders',
    usual: ['customer_id', 'items'],
    out: ORDER_OUT,
    fields: {
      customer_id: id,
      items: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          required: ['product_id', 'quantity'],
          properties: { product_id: id, quantity: { type: 'integer', minimum: 1 } },
        },
      },
    },
  }),
  action(
    'update_order_status',
    "Update an order's status",
    'Moves an order on: paid, shipped, delivered, cancelled.',
    {
      category: 'orders',
      call: 'PUT /api/orders/:id/status',
      usual: ['status'],
      out: ORDER_OUT,
      fields: { id, status: text, payment: open, shipment: open, cancelled_by: text, reason: text },
    },
  ),
  action('send_email', 'Send an email', 'Sends an email from the shop: text, html, body or a template.', {
    category: 'notifications',
    call: 'POST /api/notifications/email',
    usual: ['to', 'subject'],
    out: NOTIFICATION_OUT,
    fields: {
      to: email,
      subject: text,
      text: longText,
      html: longText,
      body: longText,
      template: text,
      variables: open,
    },
  }),
  action('send_sms', 'Send a text message', 'Sends a text message to a phone.', {
    category: 'notifications',
    call: 'POST /api/notifications/sms',
    usual: ['to', 'message'],
    out: NOTIFICATION_OUT,
    fields: { to: text, message: text },
  }),
  action('create_notification', 'Notify the team', 'Shows a notification to the people who run the shop.', {
    category: 'notifications',
    call: 'POST /api/notifications',
    usual: ['message'],
    out: NOTIFICATION_OUT,
    aliases: ['send_notification'],
    fields: { message: longText, channel: text, title: text, user_id: id, level: text, data: open },
  }),
  action('create_task', 'Create a task', 'Adds a task for the people who run the shop.', {
    category: 'tasks',
    call: 'POST /api/tasks',
    usual: ['title'],
    out: TASK_OUT,
    fields: { title: text, description: longText, due_date: time, priority: text, assignee: id },
  }),
  action('assign_task', 'Assign a task', 'Gives a task to somebody.', {
    category: 'tasks',
    call: 'PUT /api/tasks/:id/assign',
    usual: ['assignee'],
    fields: { id, assignee: id },
    out: TASK_OUT,
  }),
]

const BY_NAME: ReadonlyMap<string, RegistryAction> = new Map(
  PLATFORM_ACTIONS.flatMap((each) =>
    [each.action_type, ...each.aliases].map((name) => [name, each] as const),
  ),
)

/** By its name or an alias. */
export function platformAction(name: string): RegistryAction | undefined {
  return BY_NAME.get(name)
}

/** Repeating a PUT or DELETE leaves what one left; a POST may do it again. The payload is passed on as it comes. */
function action(
  actionType: string,
  title: string,
  description: string,
  row: {
    category: string
    call: string
    usual: string[]
    fields: Fields
    out: Fields
    aliases?: string[]
  },
): RegistryAction {
  const [method = '', path = ''] = row.call.split(' ')
  const required = pathFields({ path })
  return {
    action_type: actionType,
    aliases: row.aliases ?? [],
    title,
    description,
    category: row.category,
    source: 'platform',
    plugin_id: null,
    plugin: null,
    plugin_active: true,
    is_default: true,
    required_fields: required,
    optional_fields: Object.keys(row.fields).filter((field) => !required.includes(field)),
    input_schema: { type: 'object', properties: row.fields, required: [...required, ...row.usual] },
    output_schema: { type: 'object', properties: row.out },
    idempotent: method !== 'POST',
    method,
    path,
    endpoint: null,
    timeout_ms: null,
  }
}
