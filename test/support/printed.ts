/** What the platform's documents print, as they print it. */

/** flow-design.md §2A: a plugin's plugin.json. */
export const PLUGIN_JSON = {
  name: 'Email Marketing Plugin',
  slug: 'email-marketing',
  version: '1.0.0',
  capabilities: {
    triggers: [
      {
        id: 'customer.created',
        name: 'New Customer',
        description: 'Triggers when a new customer is created',
        event_types: ['customer.created'],
        output_schema: { customer_id: 'string', email: 'string', name: 'string' },
      },
    ],
    actions: [
      {
        id: 'send_welcome_email',
        name: 'Send Welcome Email',
        description: 'Sends a welcome email to customer',
        endpoint: '/api/actions/send-welcome',
        method: 'POST',
        input_schema: {
          email: { type: 'string', required: true },
          template: { type: 'string', required: false },
          variables: { type: 'object', required: false },
        },
        output_schema: { email_id: 'string', status: 'string' },
      },
    ],
    conditions: [
      {
        id: 'customer_location',
        name: 'Customer Location',
        description: "Check customer's location",
        operators: ['equals', 'contains', 'in'],
        value_type: 'string',
      },
    ],
  },
}

/** flow-design.md §2B: what a plugin's /api/capabilities answers. */
export const CAPABILITIES = {
  ...PLUGIN_JSON.capabilities,
  health: 'healthy',
  last_updated: '2025-08-26T12:00:00Z',
}

/** flow-design.md §3A. */
export const FLOW = {
  id: 'flow_123',
  name: 'Welcome New Customers',
  description: 'Send welcome email to new customers from US',
  status: 'active',
  trigger: { type: 'event', event_types: ['customer.created'], plugin_id: 'platform' },
  steps: [
    {
      id: 'condition_1',
      type: 'condition',
      name: 'Check if US customer',
      condition: { field: 'location.country', operator: 'equals', value: 'US' },
      on_true: 'action_1',
      on_false: 'end',
    },
    {
      id: 'action_1',
      type: 'action',
      name: 'Send Welcome Email',
      plugin_id: 'email-marketing',
      action_id: 'send_welcome_email',
      config: { template: 'welcome_template', variables: { customer_name: '{{trigger.customer_name}}' } },
      on_success: 'action_2',
      on_error: 'error_handler_1',
    },
    {
      id: 'action_2',
      type: 'action',
      name: 'Add to CRM',
      plugin_id: 'crm-plugin',
      action_id: 'create_contact',
      config: { source: 'website_signup' },
      on_success: 'end',
      on_error: 'error_handler_1',
    },
  ],
  error_handlers: [
    {
      id: 'error_handler_1',
      type: 'action',
      name: 'Log Error',
      plugin_id: 'logging-plugin',
      action_id: 'log_error',
    },
  ],
  variables: {},
  settings: { timeout: 30000, retry_count: 3, retry_delay: 1000 },
}

/** simplified-architecture.md, "Simple Flow Definition Example". */
export const SIMPLE_FLOW = {
  id: 'flow_welcome_customer',
  name: 'Welcome New Customer',
  trigger_event: 'customer.created',
  flow_definition: {
    steps: [
      {
        id: 'condition_1',
        type: 'condition',
        field: 'email',
        operator: 'exists',
        description: 'Check if customer has email',
      },
      {
        id: 'action_1',
        type: 'action',
        action_type: 'send_email',
        payload_template: {
          to: '{{trigger.email}}',
          subject: 'Welcome {{trigger.name}}!',
          template: 'welcome_email',
        },
      },
      {
        id: 'action_2',
        type: 'action',
        action_type: 'create_task',
        payload_template: { title: 'Follow up with {{trigger.name}}', due_date: '{{now + 3 days}}' },
      },
    ],
  },
}

/** overview.md: what a plugin posts to register-actions. */
export const REGISTER_ACTIONS = {
  actions: [
    {
      action_type: 'send_welcome_email',
      title: 'Send Welcome Email',
      category: 'email',
      required_fields: ['user_id', 'email'],
      endpoint: '/actions/send-welcome-email',
    },
  ],
}
