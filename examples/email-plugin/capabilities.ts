/** What this plugin can do, as the service is told by `register-actions`. */
export const ACTIONS = [
  {
    action_type: 'send_welcome_email',
    title: 'Send welcome email',
    description: 'Greets a new customer by email.',
    category: 'email',
    // Without "to" it writes to whom the flow is about (recipient.ts).
    required_fields: [],
    optional_fields: ['to', 'name', 'template', 'variables'],
    input_schema: {
      type: 'object',
      properties: {
        to: { type: 'string', format: 'email' },
        name: { type: 'string', maxLength: 200 },
        template: { type: 'string', enum: ['welcome', 'welcome_template'] },
        variables: {
          type: 'object',
          properties: { customer_name: { type: 'string', maxLength: 200 } },
        },
      },
    },
    output_schema: {
      type: 'object',
      properties: { message_id: { type: 'string' }, to: { type: 'string' } },
      required: ['message_id', 'to'],
    },
    endpoint: '/actions/send-welcome-email',
    method: 'POST',
    timeout_ms: 10_000,
    // The same Idempotency-Key sends one mail (handled.ts), so that the service may ask again after a failure.
    idempotent: true,
  },
] as const

/** The manifest at `GET /api/capabilities`: the same, and what else flows can use of this plugin. */
export function manifest(slug: string): object {
  return {
    name: 'Email Marketing',
    slug,
    version: '1.0.0',
    capabilities: {
      triggers: [
        {
          id: 'email_sent',
          name: 'Email sent',
          description: 'A mail server took an email of this plugin.',
          event_types: ['email.sent'],
          output_schema: { message_id: 'string', to: 'string' },
        },
      ],
      actions: ACTIONS.map((action) => ({
        id: action.action_type,
        name: action.title,
        description: action.description,
        category: action.category,
        endpoint: action.endpoint,
        method: action.method,
        input_schema: action.input_schema,
        output_schema: action.output_schema,
        timeout_ms: action.timeout_ms,
        idempotent: action.idempotent,
      })),
      conditions: [
        {
          id: 'customer_subscribed',
          name: 'Customer accepts marketing',
          description: 'Whether the customer wants to hear from the shop.',
          path: 'accepts_marketing',
          operators: ['is_true', 'is_false'],
          value_type: 'boolean',
        },
      ],
    },
  }
}
