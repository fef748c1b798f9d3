import type { CatalogueAction, FlowCatalogue } from '#lib/flow/index.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'

const CUSTOMER: SafeSchema = {
  type: 'object',
  properties: {
    id: { type: ['string', 'integer'] },
    email: { type: ['string', 'null'] },
    name: { type: 'string' },
    total: { type: 'number' },
    tags: { type: 'array', items: { type: 'string' } },
    status: { type: 'string', enum: ['new', 'active'] },
    address: { type: 'object', properties: { city: { type: 'string' } }, additionalProperties: false },
    created_at: { type: 'string', format: 'date-time' },
  },
}

const ACTIONS: CatalogueAction[] = [
  action('send_email', {
    required_fields: ['to', 'subject'],
    input_schema: {
      type: 'object',
      properties: {
        to: { type: 'string' },
        subject: { type: 'string' },
        text: { type: 'string' },
        html: { type: 'string' },
        body: { type: 'string' },
        template: { type: 'string' },
        priority: { type: 'integer' },
        tags: { type: 'array', items: { type: 'string' } },
      },
    },
  }),
  action('send_sms', { required_fields: ['to', 'message'] }),
  action('create_notification', { required_fields: ['title', 'message'], optional_fields: ['user_id'] }),
  action('create_task', { required_fields: ['title'], optional_fields: ['due_date'] }),
  action('update_customer', { emits: ['customer.updated'] }),
  action('find_customer', {
    output_schema: {
      type: 'object',
      properties: { id: { type: 'string' }, score: { type: 'number' } },
      additionalProperties: false,
    },
  }),
  action('anything', {}),
  action('send_welcome_email', { plugin_id: 'email-marketing-id' }),
  action('send_campaign', {
    plugin_id: 'email-marketing-id',
    required_fields: ['recipient', 'copy', 'list'],
    output_schema: { type: 'object', properties: { queued: { type: 'boolean' } } },
    emits: ['customer.updated'],
  }),
  action('greet', {
    plugin_id: 'email-marketing-id',
    input_schema: {
      type: 'object',
      properties: { email: { type: ['string', 'null'] }, template: { type: 'string' } },
      required: ['email'],
    },
  }),
  action('log_error', { plugin_id: 'logging-plugin-id' }),
]

/** A tenant with a few of everything. */
export const catalogue: FlowCatalogue = {
  strictEvents: false,
  eventTypes: new Map([
    ['customer.created', { schema: null, plugin_id: null }],
    ['customer.updated', { schema: CUSTOMER, plugin_id: null }],
    [
      'order.paid',
      { schema: { type: 'object', properties: { order_id: { type: 'string' } } }, plugin_id: null },
    ],
    ['lead.replied', { schema: null, plugin_id: 'crm-id' }],
  ]),
  connections: new Map([
    ['inbound', { kind: 'webhook_secret', hosts: [], allows: () => false }],
    ['scores', { hosts: ['example.com'], allows: (url: string) => URL.parse(url)?.host === 'example.com' }],
  ]),
  variables: new Set(['support_email']),
  resolvePlugin(ref) {
    const slug = ref.replace(/-id$/, '')
    const known = ['email-marketing', 'logging-plugin', 'sleeping']
    return known.includes(slug) ? { id: `${slug}-id`, slug, active: slug !== 'sleeping' } : null
  },
  resolveAction(actionType, pluginRef) {
    if (pluginRef === 'sleeping') return { problem: 'plugin_inactive', message: 'Activate it first.' }
    const plugin = pluginRef === null ? null : pluginRef === 'platform' ? null : this.resolvePlugin(pluginRef)
    if (pluginRef !== null && pluginRef !== 'platform' && !plugin) {
      return { problem: 'unknown_plugin', message: 'There is no such plugin.' }
    }
    const found = ACTIONS.find(
      (each) =>
        each.action_type === actionType && (pluginRef === null || each.plugin_id === (plugin?.id ?? null)),
    )
    return found ? { action: found } : { problem: 'unknown_action', message: 'There is no such action.' }
  },
}

function action(actionType: string, rest: Partial<CatalogueAction>): CatalogueAction {
  return {
    action_type: actionType,
    plugin_id: null,
    required_fields: [],
    optional_fields: [],
    input_schema: null,
    output_schema: null,
    emits: [],
    ...rest,
  }
}
